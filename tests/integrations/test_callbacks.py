"""The doctor inside other people's trainers: real trainers, real small models, a fault and its healthy twin."""

import os

import pytest
import torch
from torch import nn

lightning = pytest.importorskip("pytorch_lightning")
transformers = pytest.importorskip("transformers")


class Regression(lightning.LightningModule):
    def __init__(self, lr: float) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Linear(4, 1)

    def training_step(self, batch, index):
        loss = (self.net(batch[0]) - batch[0].sum(1, keepdim=True)).square().mean()
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.hparams.lr)


def fit(lr: float, folder, **options):
    from trainwright.integrations.lightning import DoctorCallback

    torch.manual_seed(0)
    data = torch.utils.data.TensorDataset(torch.randn(512, 4))
    doctor = DoctorCallback(say=None, every=8, **options)
    trainer = lightning.Trainer(
        max_epochs=4, accelerator="cpu", devices=1, callbacks=[doctor], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(Regression(lr), torch.utils.data.DataLoader(data, 8))
    return doctor


@pytest.mark.filterwarnings("ignore")
def test_lightning_says_that_a_loss_explodes_and_that_its_twin_is_healthy(tmp_path):
    sick, well = fit(1.5, tmp_path), fit(0.05, tmp_path)
    assert {d.symptom.name for d in sick.watch.latest.findings} & {"exploding", "non_finite"}
    assert sick.watch.latest.verdict in ("sick", "crashed")
    assert well.watch.latest.alarms == ()


@pytest.mark.filterwarnings("ignore")
def test_lightning_stops_when_asked_to(tmp_path):
    stopped = fit(30.0, tmp_path, stop=True)
    assert stopped.watch.rows[-1]["step"] < 256


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 1)

    def forward(self, x, labels):
        return {"loss": (self.net(x)[:, 0] - labels).square().mean()}


@pytest.mark.filterwarnings("ignore")
def test_huggingface_says_that_a_loss_explodes_and_that_its_twin_is_healthy(tmp_path):
    from trainwright.integrations.huggingface import DoctorCallback

    def train(rate: float):
        torch.manual_seed(0)
        rows = [{"x": torch.randn(4), "labels": torch.tensor(1.0)} for _ in range(256)]
        doctor = DoctorCallback(say=None, every=8)
        arguments = transformers.TrainingArguments(
            str(tmp_path / str(rate)), per_device_train_batch_size=8, max_steps=120, learning_rate=rate, logging_steps=1, report_to=[],
            use_cpu=True, save_strategy="no", optim="sgd", max_grad_norm=0.0, disable_tqdm=True, lr_scheduler_type="constant",
            logging_nan_inf_filter=False,
        )  # fmt: skip
        transformers.Trainer(Tiny(), arguments, train_dataset=rows, callbacks=[doctor]).train()
        return doctor.watch.latest

    sick, well = train(2.0), train(0.02)
    assert {d.symptom.name for d in sick.findings} & {"exploding", "non_finite"}
    assert well.alarms == ()


def test_accelerate_takes_the_doctor_as_a_tracker():
    accelerate = pytest.importorskip("accelerate")
    from trainwright.integrations.accelerate import DoctorTracker

    torch.manual_seed(0)
    said: list[str] = []
    tracker = DoctorTracker(total=60, say=said.append)
    accelerator = accelerate.Accelerator(cpu=True, log_with=tracker)
    accelerator.init_trackers("test", {"learning_rate": 0.0})
    net = nn.Linear(4, 1)
    net, optimizer = accelerator.prepare(net, torch.optim.SGD(net.parameters(), 0.0))
    for step in range(60):
        loss = net(torch.randn(8, 4)).square().mean()
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
        accelerator.log({"train_loss": loss.item()}, step=step)
    accelerator.end_training()
    assert tracker.watch.latest.alarms[0].causes[0].cause.name == "lr_zero"
    assert "learning rate" in said[0]


# ---- watching changes nothing ----------------------------------------------------------------------------------------------


class Noisy(nn.Module):
    """Network whose training depends on everything that a watch must leave alone: random numbers, a mode, buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 4))

    def forward(self, x, labels=None):
        return {"loss": (self.net(x + 0.1 * torch.randn_like(x)) - x).square().mean()}

    def sample(self, n: int) -> torch.Tensor:
        return self.net(torch.randn(n, 4))


def state(module: nn.Module) -> list[torch.Tensor]:
    """Weights, buffers, and the next random numbers."""
    return [*(t.detach().clone() for t in module.state_dict().values()), torch.get_rng_state()]


def with_lightning(watched: bool, folder) -> list[torch.Tensor]:
    from trainwright.integrations.lightning import DoctorCallback

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Noisy()

        def training_step(self, batch, index):
            loss = self.inner(batch[0])["loss"]
            self.log("train_loss", loss)
            return loss

        def sample(self, n: int) -> torch.Tensor:
            return self.inner.sample(n)

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 1e-2)

    torch.manual_seed(0)
    module, data = Module(), torch.randn(256, 4)
    doctor = [DoctorCallback(say=None, real=data)] if watched else []
    trainer = lightning.Trainer(
        max_epochs=3, accelerator="cpu", devices=1, callbacks=doctor, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(module, torch.utils.data.DataLoader(torch.utils.data.TensorDataset(data), 8))
    for callback in doctor:
        assert callback.watch.failed is None and len(callback.watch.verdicts) > 2
    return state(module)


def with_huggingface(watched: bool, folder) -> list[torch.Tensor]:
    from trainwright.integrations.huggingface import DoctorCallback

    torch.manual_seed(0)
    model = Noisy()
    rows = [{"x": torch.randn(4), "labels": torch.tensor(1.0)} for _ in range(256)]
    doctor = (
        [DoctorCallback(say=None, sample=model.sample, real=torch.stack([r["x"] for r in rows]))] if watched else []
    )
    arguments = transformers.TrainingArguments(
        str(folder / str(watched)), per_device_train_batch_size=8, max_steps=90, learning_rate=1e-2, logging_steps=1, report_to=[],
        use_cpu=True, save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    transformers.Trainer(model, arguments, train_dataset=rows, callbacks=doctor).train()
    for callback in doctor:
        assert callback.watch.failed is None and len(callback.watch.verdicts) > 2
    return state(model)


def with_accelerate(watched: bool, folder) -> list[torch.Tensor]:
    accelerate = pytest.importorskip("accelerate")
    from trainwright.integrations.accelerate import DoctorTracker

    torch.manual_seed(0)
    model, data = Noisy(), torch.randn(256, 4)
    tracker = DoctorTracker(total=90, say=None, sample=model.sample, real=data) if watched else None
    accelerator = accelerate.Accelerator(cpu=True, log_with=tracker)
    if watched:
        accelerator.init_trackers("test", {})
    net, optimizer = accelerator.prepare(model, torch.optim.Adam(model.parameters(), 1e-2))
    for step in range(90):
        loss = net(data[torch.randint(256, (8,))])["loss"]
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
        if watched:
            accelerator.log({"train_loss": loss.item()}, step=step)
    accelerator.end_training()
    if tracker is not None:
        assert tracker.watch.failed is None and len(tracker.watch.verdicts) > 2
    return state(model)


def with_keras(watched: bool, folder) -> list[torch.Tensor]:
    keras = keras_on_torch()
    from trainwright.integrations.keras import DoctorCallback

    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [layers.Dense(16), layers.BatchNormalization(), layers.ReLU(), layers.Dropout(0.2), layers.Dense(4)]
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss="mse")
    data = torch.randn(256, 4).numpy()
    options = {"sample": lambda n: model(torch.randn(n, 4), training=False), "real": data}
    doctor = [DoctorCallback(say=None, **options)] if watched else []
    model.fit(data, data, batch_size=8, epochs=3, verbose=0, callbacks=doctor)
    for callback in doctor:
        assert callback.watch.failed is None and len(callback.watch.verdicts) > 2
    return [*(torch.as_tensor(w) for w in model.get_weights()), torch.get_rng_state()]


def keras_on_torch():
    """Import Keras with PyTorch below it; the choice is made once in a process."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras")


@pytest.mark.filterwarnings("ignore")
def test_keras_says_that_a_loss_explodes_and_that_its_twin_is_healthy():
    keras = keras_on_torch()
    from trainwright.integrations.keras import DoctorCallback

    def train(rate: float):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.layers.Dense(1)])
        model.compile(optimizer=keras.optimizers.SGD(rate), loss="mse")
        x = torch.randn(512, 4).numpy()
        doctor = DoctorCallback(say=None, every=8)
        model.fit(x, x.sum(1, keepdims=True), batch_size=8, epochs=2, verbose=0, callbacks=[doctor])
        return doctor.watch.latest

    sick, well = train(1.5), train(0.05)
    assert {d.symptom.name for d in sick.findings} & {"exploding", "non_finite"}
    assert well.alarms == ()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("train", [with_lightning, with_huggingface, with_accelerate, with_keras])
def test_weights_buffers_and_random_numbers_are_equal_with_and_without_the_doctor(train, tmp_path):
    plain, watched = train(False, tmp_path), train(True, tmp_path)
    assert len(plain) == len(watched)
    for a, b in zip(plain, watched, strict=True):
        assert torch.equal(a, b)

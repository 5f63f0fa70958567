"""The doctor inside other people's trainers: real trainers, real small models, a fault and its healthy twin."""

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

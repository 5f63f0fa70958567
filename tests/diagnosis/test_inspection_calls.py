"""Inspections of what networks are called with and what comes back: samplers, terms of losses, parts of inputs, targets.

Each fault is named, and the repaired loop stays silent.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from trainwright.diagnosis.observing.graph import read_graph
from trainwright.diagnosis.observing.networks import find_networks
from trainwright.diagnosis.observing.observer import Observer
from trainwright.diagnosis.watch import Watch, kl_weight


def named(watch: Watch) -> set[str]:
    return {c for c, i in watch._inspections.items() if i["severity"] != "note"}


def smooth(n: int = 256, side: int = 8, channels: int = 1) -> Tensor:
    """Images of two smooth waves, in [-2, 2]."""
    g = torch.Generator().manual_seed(2)
    at = torch.linspace(0, math.pi, side)
    a, b, c = (torch.rand(n, channels, 1, 1, generator=g) * 2 - 1 for _ in range(3))
    return (a * at.cos()[:, None] + b * at.cos()[None, :]) * c.sign()


class Denoiser(nn.Module):
    """Two convolutions and a plane for the time."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(2, 16, 3, 1, 1), nn.SiLU(), nn.Conv2d(16, 16, 3, 1, 1), nn.SiLU(), nn.Conv2d(16, 1, 3, 1, 1)
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        plane = (t.float() / 25 - 1)[:, None, None, None].expand(-1, -1, *x.shape[2:])
        return self.net(torch.cat([x, plane], 1))


ALPHAS = torch.cumprod(1 - torch.linspace(2e-3, 0.3, 50), 0)


def diffusion(fault: str = "", steps: int = 240) -> Watch:
    torch.manual_seed(3)
    x = smooth() * (2 if "clip" in fault else 1)
    model = Denoiser()
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    bar = ALPHAS if "found" in fault else tuple(ALPHAS.tolist())  # a schedule that the watch finds, or does not
    times = range(49, -1, -5 if "found" in fault else -1)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        y = torch.randn(n, 1, 8, 8)
        for t in times:
            a, b = float(bar[t]), float(bar[t + times.step]) if t + times.step >= 0 else 1.0
            e = model(y, torch.full((n,), t))
            clean = (y - (1 - a) ** 0.5 * e) / a**0.5
            if "clip" in fault:
                clean = clean.clamp(*((-1, 1) if fault == "clips" else (-4, 4)))
            e = (y - a**0.5 * clean) / (1 - a) ** 0.5
            spread = 1 - a if fault == "found leftover" else (1 - b) / (1 - a) * (1 - a / b)
            y = b**0.5 * clean + max(0.0, 1 - b - spread) ** 0.5 * e + spread**0.5 * torch.randn_like(y)
            if fault == "clamped":
                y = y.clamp(-1, 1)
        return y

    watch = trainwright.watch(total=steps, sample=sample, real=x, say=None)
    for step in range(steps):
        clean = x[torch.randint(len(x), (32,))]
        t, e = torch.randint(0, 50, (32,)), torch.randn(32, 1, 8, 8)
        a = ALPHAS[t, None, None, None]
        noisy = a.sqrt() * clean + (a if fault == "signal" else 1 - a).sqrt() * e
        loss = F.mse_loss(model(noisy, t), e)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    watch.diagnose()
    return watch


@pytest.mark.parametrize(
    "fault, cause",
    [
        ("clamped", "sampler_step_mismatch"), ("found leftover", "sampler_step_mismatch"), ("signal", "schedule_leaves_signal"),
        ("clips", "clipping_of_clean_estimate"),
    ],
)  # fmt: skip
def test_a_sampler_that_does_not_fit_is_named(fault, cause):
    assert cause in named(diffusion(fault))


@pytest.mark.parametrize("sound", ["", "found", "clip wide"])
def test_a_sampler_that_fits_shows_nothing(sound):
    assert named(diffusion(sound)) == set()


def gan(fault: str = "", steps: int = 40) -> Watch:
    torch.manual_seed(0)
    x = smooth().flatten(1) / 2
    # names that say nothing: roles follow from calls
    one = nn.Sequential(nn.Linear(4, 32), nn.LeakyReLU(0.2), nn.Linear(32, 64), nn.Tanh())
    two = nn.Sequential(nn.Linear(64, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
    first, second = torch.optim.Adam(one.parameters(), 1e-3), torch.optim.Adam(two.parameters(), 1e-3)
    watch = trainwright.watch(total=steps, sample=lambda n: one(torch.randn(n, 4)), real=x, say=None)
    for step in range(steps):
        batch, z = x[torch.randint(len(x), (32,))], torch.randn(32, 4)
        made = one(z)
        if fault != "seldom" or step % 12 == 0:
            judged = (two(batch) - 1).square().mean() + two(made.detach()).square().mean()
            second.zero_grad()
            judged.backward()
            second.step()
        asked = batch if fault == "of data" else made
        fooled = (two(asked) - 1).square().mean()
        error = F.mse_loss(made, batch)
        loss = error if fault in ("left out", "alone") else fooled + error
        first.zero_grad()
        loss.backward()
        first.step()
        watch(step, judged=judged, error=error, **({} if fault == "alone" else {"fooled": fooled}))
    watch.diagnose()
    return watch


@pytest.mark.parametrize(
    "fault, cause",
    [
        ("left out", "term_left_out"), ("of data", "term_without_gradient"), ("seldom", "too_few_critic_steps"), ("", None),
    ],
)  # fmt: skip
def test_a_generator_that_nobody_judges_is_named(fault, cause):
    watch = gan(fault)
    assert named(watch) == ({cause} if cause else set())
    roles = {n.name: n.role for n in watch.observer.networks}
    assert (roles["one"], roles["two"]) == ("generator", "discriminator")


def vae(fault: str = "", steps: int = 120) -> Watch:
    torch.manual_seed(0)
    x = smooth().flatten(1)
    encoder, decoder = nn.Linear(64, 8), nn.Linear(4, 64)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-2)
    watch = trainwright.watch(total=steps, sample=lambda n: decoder(torch.randn(n, 4)), real=x, say=None)
    for step in range(steps):
        batch = x[torch.randint(len(x), (32,))]
        mean, logvar = encoder(batch).chunk(2, 1)
        again = decoder(mean + (0.5 * logvar).exp() * torch.randn_like(mean))
        recon = F.mse_loss(again, batch, reduction="sum") / 32
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1)
        kl = kl.sum() if fault == "over batch" else kl.mean()
        loss = recon if fault == "left out" else recon + 0.01 * kl
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss, recon=recon, kl=kl)
    watch.diagnose()
    return watch


def test_a_kl_that_is_not_trained_on_is_named():
    assert named(vae("left out")) == {"kl_weight_stays_zero"}
    assert named(vae()) == set()


def test_weight_and_reduction_of_the_kl_are_read_off_the_loop():
    known = vae().history().settings
    assert known["reduction"] == "sum" and "kl_reduction" not in known
    assert known["max_beta"] == pytest.approx(0.01, rel=1e-2)
    assert vae("over batch").history().settings["kl_reduction"] == "batch"


def test_the_weight_of_the_kl_is_known_only_if_it_is_constant():
    rows = [
        {"loss": 3.0 + 0.2 * k + 0.5 * k, "error": 3.0 + 0.2 * k, "kl/raw": float(k), "other": 7.0 - k}
        for k in range(1, 7)
    ]
    assert kl_weight(rows) == pytest.approx(0.5)
    assert kl_weight([r | {"loss": r["loss"] + 0.1 * r["kl/raw"] ** 2} for r in rows]) is None
    assert kl_weight(rows[:3]) is None


class Recurrent(nn.Module):
    """Loop over frames (n, T, C, H, W)."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.cell, self.last, self.fault = nn.Conv2d(8, 7, 3, 1, 1), nn.Conv2d(7, 1, 3, 1, 1), fault

    def forward(self, frames: Tensor) -> Tensor:
        start = frames.new_zeros(len(frames), 7, *frames.shape[-2:])
        state = start
        for i in range(frames.shape[1]):
            frame = frames[:, -1] if self.fault == "same frame" else frames[:, i]
            state = self.cell(torch.cat([frame, start if self.fault == "first state" else state], 1)).tanh()
        return self.last(state)


@pytest.mark.parametrize("fault", ["same frame", "first state", ""])
def test_frames_that_change_nothing_are_named(fault):
    torch.manual_seed(0)
    clips = torch.stack([smooth(64, 8).roll(i, 3) for i in range(4)], 1)
    net = Recurrent(fault)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    watch = trainwright.watch(total=40, say=None)
    for step in range(40):
        batch = clips[torch.randint(len(clips), (8,))]
        loss = F.mse_loss(net(batch[:, :3]), batch[:, 3])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    watch.diagnose()
    assert named(watch) == ({"input_repeated"} if fault else set())
    if fault:
        assert watch._inspections["input_repeated"]["step"] < 20


@pytest.mark.parametrize("fault", [True, False])
def test_a_network_that_learns_to_copy_noise_is_named(fault):
    torch.manual_seed(0)
    x, net = smooth(), nn.Sequential(nn.Conv2d(1, 8, 3, 1, 1), nn.ReLU(), nn.Conv2d(8, 1, 3, 1, 1))
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    watch = trainwright.watch(total=40, sample=lambda n: net(x[:n] + 0.3 * torch.randn(n, 1, 8, 8)), real=x, say=None)
    for step in range(40):
        batch = x[torch.randint(len(x), (16,))]
        noisy = batch + 0.3 * torch.randn_like(batch)
        loss = F.mse_loss(net(noisy), noisy if fault else batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    watch.diagnose()
    assert named(watch) == ({"targets_in_input"} if fault else set())


def classifier(fault: str, steps: int = 160) -> Watch:
    torch.manual_seed(0)
    x, y = torch.randn(640, 12), torch.arange(640) // 320
    x[:, 0] += 3.0 * y
    labels = y[torch.randperm(640)] if fault == "mismatched" else y
    order = torch.arange(640) if fault == "sorted" else torch.randperm(640)
    net = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    watch = trainwright.watch(total=steps, say=None)
    for step in range(steps):
        i = order[(step * 32) % 640 : (step * 32) % 640 + 32]
        loss = F.cross_entropy(net(x[i]), labels[i])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    return watch


def test_batches_of_one_label_are_named():
    watch = classifier("sorted")
    watch.diagnose()
    assert named(watch) == {"data_not_shuffled"}


def test_labels_of_other_inputs_are_named():
    watch = classifier("mismatched", 400)
    finding = watch.diagnose().alarms[0]
    assert finding.causes[0].cause.name == "labels_mismatched", watch.diagnose()
    sound = classifier("")
    assert sound.diagnose().alarms == () and named(sound) == set()


@pytest.mark.parametrize("fault", [True, False])
def test_a_mask_that_loses_places_is_named(fault):
    torch.manual_seed(0)
    ids = torch.randint(2, 6, (200, 12))
    for row, length in zip(ids, torch.randint(5, 12, (200,)), strict=True):
        row[length:] = 0
    net = nn.Sequential(nn.Embedding(6, 8), nn.Linear(8, 6))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    kept = torch.ones(12)
    watch = trainwright.watch(total=40, say=None)
    for step in range(40):
        batch = ids[torch.randint(200, (16,))]
        tokens = torch.cat([torch.ones(16, 1, dtype=torch.long), batch[:, :-1]], 1)
        masks = []
        for row in batch:
            mask = kept if fault else kept.clone()
            mask[row == 0] = 0
            masks.append(mask.clone())
        weight = torch.stack(masks)
        loss = (F.cross_entropy(net(tokens).transpose(1, 2), batch, reduction="none") * weight).sum() / weight.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    watch.diagnose()
    assert named(watch) == ({"loss_mask_wrong"} if fault else set())


def test_a_weight_that_is_not_finite_is_told_from_a_network_that_explodes():
    torch.manual_seed(0)
    net = nn.Linear(4, 4)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    watch = trainwright.watch(total=30, say=None)
    for step in range(30):
        x = torch.randn(8, 4)
        error = (net(x) - x).square()
        weight = torch.zeros(()) / torch.zeros(()) if step == 20 else torch.ones(())
        loss, plain = (weight * error).mean(), error.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss, plain=plain)
    found = watch.diagnose()
    assert found.verdict == "crashed" and found.alarms[0].causes[0].cause.name == "division_by_zero"


def test_the_constant_prediction_of_labels_is_that_of_their_frequencies():
    watch = classifier("mismatched", 200)
    ratios = watch.history().signals["baseline/error_ratio"].values
    assert 0.9 < ratios[-1] < 1.15
    assert (
        isinstance(watch.observer, Observer) and watch.facts["baseline"] == "a guess by the frequencies of the classes"
    )


def test_a_softplus_is_a_fault_on_a_log_variance_and_none_on_a_deviation():
    hidden, mean, other, decoder = torch.randn(8, 6), nn.Linear(6, 2), nn.Linear(6, 2), nn.Linear(2, 6)
    raw = F.softplus(other(hidden))
    found = []
    for deviation in ((0.5 * raw).exp(), raw, raw.sqrt()):
        code = mean(hidden) + deviation * torch.randn(8, 2)
        graph = read_graph(F.mse_loss(decoder(code), hidden))
        found.append(graph.latent)
    assert found == [("Addmm", "Softplus"), ("Addmm", ""), ("Addmm", "")]


def test_a_codebook_that_is_averaged_beside_a_sum_is_named():
    torch.manual_seed(0)
    x, codes = smooth().flatten(1), nn.Embedding(8, 4)
    encoder, decoder = nn.Linear(64, 4), nn.Linear(4, 64)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters(), *codes.parameters()], 1e-3)
    for reduction in ("mean", "sum"):
        watch = trainwright.watch(total=30, say=None)
        for step in range(30):
            batch = x[torch.randint(len(x), (16,))]
            z = encoder(batch)
            chosen = codes(torch.cdist(z, codes.weight).argmin(1))
            near = F.mse_loss(chosen.detach(), z, reduction=reduction) + F.mse_loss(
                chosen, z.detach(), reduction=reduction
            )
            loss = F.mse_loss(decoder(z + (chosen - z).detach()), batch, reduction="sum") + near
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            watch(step, loss=loss)
        watch.diagnose()
        assert ("reduction_mismatch" in named(watch)) is (reduction == "mean")
        watch.observer.close()


class Channels(nn.Module):
    """Causal convolution over tokens with outputs (n, V, T); ``late`` shifts the input by one place."""

    def __init__(self, late: bool) -> None:
        super().__init__()
        self.embed, self.conv, self.late = nn.Embedding(6, 8), nn.Conv1d(8, 6, 2), late

    def forward(self, tokens: Tensor) -> Tensor:
        h = F.pad(self.embed(tokens).transpose(1, 2), (1, 0))
        return self.conv(F.pad(h, (1, 0))[:, :, :-1] if self.late else h)


@pytest.mark.parametrize("fault", [True, False])
def test_targets_that_an_output_of_channels_first_sees_are_named(fault):
    torch.manual_seed(0)
    ids, net = torch.randint(0, 6, (300, 12)), Channels(late=not fault)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)

    @torch.no_grad()
    def generate(n: int) -> Tensor:
        x = torch.zeros(n, 12, dtype=torch.long)
        for i in range(12):
            x[:, i] = torch.multinomial(net(x)[:, :, i].softmax(1), 1)[:, 0]
        return x

    watch = trainwright.watch(total=60, sample=generate, real=ids, say=None)
    for step in range(60):
        batch = ids[torch.randint(300, (16,))]
        loss = F.cross_entropy(net(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    watch.diagnose()
    assert ("targets_in_input" in named(watch)) is fault


class Around(nn.Module):
    """Module that holds a network and a schedule, as a trainer or a sampler of diffusion models does."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("schedule", torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return (self.net(x) - x) * self.schedule


def test_the_network_inside_of_a_trainer_and_a_sampler_is_found():
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))
    trainer, sampler = Around(net), Around(net)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    names = {id(net): "net", id(trainer): "trainer", id(sampler): "sampler"}
    modules = [trainer, sampler, *net.modules()]
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert [n.name for n in find_networks([held], names, modules)] == ["net"]
    assert [n.name for n in find_networks([held], names, [trainer, *net.modules()])] == ["trainer"]


def test_losses_are_read_in_the_function_that_calls_the_optimizer():
    torch.manual_seed(0)
    net = nn.Linear(6, 1)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)

    def train_step(x: Tensor, y: Tensor) -> float:
        loss = ((net(x).squeeze(-1) - y[:, None]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    watch = trainwright.watch(total=30, say=None)
    for step in range(30):
        x = torch.randn(16, 6)
        watch(step, loss=train_step(x, x.sum(1)))
    watch.diagnose()
    assert named(watch) == {"loss_shapes_broadcast"}
    assert "train_step" not in watch._inspections["loss_shapes_broadcast"]["message"]


@pytest.mark.parametrize("fault", [True, False])
def test_a_network_left_in_evaluation_mode_is_named(fault):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    watch = trainwright.watch(total=100, say=None)
    for step in range(100):
        x = torch.randn(16, 6)
        loss = (net(x)[:, 0] - x.sum(1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 10:
            net.eval()
            net(x)
            net.train(not fault)
        watch(step, loss=loss)
    watch.diagnose()
    assert named(watch) == ({"trained_in_eval_mode"} if fault else set())


def test_an_encoder_may_have_an_optimizer_for_each_task_and_gradients_may_be_assigned():
    torch.manual_seed(0)
    encoder, decoder, head = nn.Linear(6, 3), nn.Linear(3, 6), nn.Linear(3, 1)
    one = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
    two = torch.optim.Adam([*encoder.parameters(), *head.parameters()], 1e-3)
    watch = trainwright.watch(total=40, say=None)
    for step in range(40):
        x = torch.randn(16, 6)
        error = (decoder(encoder(x)) - x).square().mean()
        one.zero_grad()
        error.backward()
        one.step()
        other = (head(encoder(x))[:, 0] - x.sum(1)).square().mean()
        held = [*encoder.parameters(), *head.parameters()]
        for p, g in zip(held, torch.autograd.grad(other, held), strict=True):
            p.grad = g
        two.step()
        watch(step, error=error, other=other)
    watch.diagnose()
    assert named(watch) == set()

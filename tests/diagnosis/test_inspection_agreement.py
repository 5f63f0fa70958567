"""Inspections that compare training with ``sample()``, and batches, codes and targets with each other.

Each fault is named, and the sound loop stays silent.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from trainwright.diagnosis.observing.calls import Call, error_factor, read_targets
from trainwright.diagnosis.observing.networks import Network
from trainwright.diagnosis.watch import Watch


def causes(watch: Watch) -> set[str]:
    watch.close()
    assert watch.failed is None and watch.observer.failed is None
    return {c for c, i in watch._inspections.items() if i["severity"] != "note"}


def train(watch: Watch, network: nn.Module, step_loss, steps: int = 60) -> Watch:  # type: ignore[no-untyped-def]
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for step in range(steps):
        loss = step_loss(step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    watch.close()  # while the optimizer exists
    return watch


class Conditional(nn.Module):
    """Network of two inputs: noise (or a sample) and a one-hot label."""

    def __init__(self, inputs: int, outputs: int, last: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(inputs + 5, 48), nn.LeakyReLU(0.2), nn.Linear(48, outputs), last)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.net(torch.cat([x, y], 1))


def conditional_gan(fault: str) -> Watch:
    torch.manual_seed(0)
    generator, d = Conditional(8, 16, nn.Tanh()), Conditional(16, 1, nn.Identity())
    classes = torch.randint(5, (400,))
    real = (torch.eye(5)[classes] @ torch.randn(5, 16) + 0.1 * torch.randn(400, 16)).tanh()
    first, second = torch.optim.Adam(generator.parameters(), 1e-3), torch.optim.Adam(d.parameters(), 1e-3)

    def sample(n: int) -> Tensor:
        y = torch.randint(5, (n, 5)).float() if fault == "condition" else torch.eye(5)[torch.randint(5, (n,))]
        return (1 if fault != "scaled" else 5) * generator(torch.randn(n, 8), y)

    watch = trainwright.watch(total=60, sample=sample, real=real, say=None)
    for step in range(60):
        i = torch.randint(400, (32,))
        y = torch.eye(5)[classes[i]]
        if fault == "undrawn":
            y = torch.eye(5)[torch.randint(4, (32,))]
        fake = generator(torch.randn(32, 8), y)
        asked = y.roll(1, 0) if fault == "labels" else y
        own = torch.eye(5)[classes[i]]
        loss_d = F.softplus(-d(real[i], own)).mean() + F.softplus(d(fake.detach(), asked)).mean()
        second.zero_grad()
        loss_d.backward()
        second.step()
        loss_g = F.softplus(-d(fake, asked)).mean()
        first.zero_grad()
        loss_g.backward()
        first.step()
        watch(step, loss_d=loss_d, loss_g=loss_g)
    return watch


@pytest.mark.parametrize(
    "fault, cause",
    [
        ("condition", "condition_differs_when_sampling"),
        ("labels", "labels_mismatched"),
        ("scaled", "output_activation"),
        ("undrawn", "label_never_drawn"),
    ],
)
def test_labels_and_outputs_of_a_gan_are_compared(fault, cause):
    assert cause in causes(conditional_gan(fault))


def test_the_same_labels_and_outputs_show_nothing():
    assert causes(conditional_gan("")) == set()


class Forecaster(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru, self.out = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.gru(x[..., None])[0][:, -1])[:, 0]


def waves(n: int = 300, length: int = 20) -> Tensor:
    g = torch.Generator().manual_seed(1)
    period, phase = 6 + 6 * torch.rand(n, 1, generator=g), 6.28 * torch.rand(n, 1, generator=g)
    return (6.28 * torch.arange(length) / period + phase).sin()


def forecast(fault: str) -> Watch:
    torch.manual_seed(0)
    data, model = waves(), Forecaster()
    if fault == "sorted":
        data = data[data[:, 0].argsort()]

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        window, found = data[torch.randint(len(data), (n,)), :12], []
        for _ in range(8):
            found.append(model(window))
            if fault == "rolled":
                window = torch.cat([window[:, :1], window[:, :-2], found[-1][:, None]], 1)
            elif fault != "still":
                window = torch.cat([window[:, 1:], found[-1][:, None]], 1)
        return torch.stack(found, 1)

    watch = trainwright.watch(total=60, sample=sample, real=data[:, 12:], say=None)

    def loss(step: int) -> Tensor:
        i = torch.arange(step * 5, step * 5 + 32) % 300 if fault == "sorted" else torch.randint(300, (32,))
        return F.mse_loss(model(data[i, :12]), data[i, 12])

    return train(watch, model, loss)


@pytest.mark.parametrize(
    "fault, cause",
    [("rolled", "rollout_window_wrong"), ("still", "rollout_window_wrong"), ("sorted", "data_not_shuffled")],
)
def test_windows_and_order_of_a_forecast_are_named(fault, cause):
    assert cause in causes(forecast(fault))


def test_a_sound_forecast_shows_nothing():
    assert causes(forecast("")) == set()


class Letters(nn.Module):
    """Returns the state before the logits, as many loops of letters do."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.gru, self.out = nn.Embedding(12, 16), nn.GRU(16, 32, batch_first=True), nn.Linear(32, 12)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[tuple[Tensor], Tensor]:
        h, state = self.gru(self.embed(x), state)
        return (state,), self.out(h)


class Cell(nn.Module):
    """Recurrent network of a cell of its own, which may be given the first state in each step."""

    def __init__(self, keeps: bool) -> None:
        super().__init__()
        self.embed, self.cell, self.out = nn.Embedding(12, 16), nn.RNNCell(16, 32), nn.Linear(32, 12)
        self.keeps = keeps

    def forward(self, x: Tensor) -> Tensor:
        state, found = torch.zeros(len(x), 32), []
        for t in range(x.shape[1]):
            new = self.cell(self.embed(x[:, t]), state)
            state = new if self.keeps else state
            found.append(new)
        return self.out(torch.stack(found, 1))


@pytest.mark.parametrize("keeps", [False, True])
def test_a_sequence_model_that_forgets_is_named(keeps):
    torch.manual_seed(0)
    data, model = (torch.randint(3, (400, 1)) + torch.arange(9) * torch.randint(1, 4, (400, 1))) % 10, Cell(keeps)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        x = data[torch.randint(400, (n,)), :1]
        while x.shape[1] < 9:
            x = torch.cat([x, torch.multinomial(model(x)[:, -1].softmax(-1), 1)], 1)
        return x

    def loss(step: int) -> Tensor:
        x = data[torch.randint(400, (32,))]
        return F.cross_entropy(model(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())

    found = causes(train(trainwright.watch(total=80, sample=sample, real=data, say=None), model, loss, 80))
    assert found == (set() if keeps else {"hidden_state_lost"})


class Ordered(nn.Module):
    """Masked linear network of binary numbers in an order of its own (MADE without a hidden layer)."""

    def __init__(self, order: Tensor) -> None:
        super().__init__()
        rank = order.argsort()
        self.weight, self.bias = (
            nn.Parameter(torch.zeros(len(order), len(order))),
            nn.Parameter(torch.zeros(len(order))),
        )
        self.register_buffer("mask", (rank[:, None] > rank[None, :]).float())

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.mask * self.weight, self.bias)


@pytest.mark.parametrize("right", [False, True])
def test_elements_that_are_drawn_too_early_are_named(right):
    torch.manual_seed(0)
    order = torch.randperm(16)
    model, data = Ordered(order), (waves(400, 16) > 0).float()

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        x = torch.zeros(n, 16)
        for i in order if right else order.argsort():
            x[:, i] = torch.bernoulli(model(x)[:, i].sigmoid())
        return x

    def loss(step: int) -> Tensor:
        x = data[torch.randint(400, (32,))]
        return F.binary_cross_entropy_with_logits(model(x), x)

    found = causes(train(trainwright.watch(total=200, sample=sample, real=data, say=None), model, loss, 200))
    assert ("sampling_order_wrong" in found) is not right


class Decoder(nn.Module):
    """Reads the past, and in training the future, of which each output may see the element before it or its own."""

    def __init__(self, sees_own: bool) -> None:
        super().__init__()
        self.rnn, self.out, self.sees_own = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 1), sees_own

    def forward(self, past: Tensor, future: Tensor) -> Tensor:
        _, state = self.rnn(past[:, :-1, None])
        given = future if self.sees_own else torch.cat([past[:, -1:], future[:, :-1]], 1)
        return self.out(self.rnn(given[..., None], state)[0])[..., 0]


@pytest.mark.parametrize("sees_own", [True, False])
def test_a_decoder_that_is_given_its_targets_is_named(sees_own):
    torch.manual_seed(0)
    data, model = waves(300, 24), Decoder(sees_own)

    def loss(step: int) -> Tensor:
        x = data[torch.randint(300, (32,))]
        return F.mse_loss(model(x[:, :12], x[:, 12:]), x[:, 12:])

    found = causes(train(trainwright.watch(total=80, say=None), model, loss, 80))
    assert found == ({"targets_in_input"} if sees_own else set())


class Velocity(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.net(torch.cat([x, t], 1))


@pytest.mark.parametrize("backwards", [True, False])
def test_a_flow_that_is_followed_from_the_wrong_end_is_named(backwards):
    torch.manual_seed(0)
    data, model = 0.5 + 0.1 * torch.randn(2000, 2), Velocity()

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        x = torch.rand(n, 2)
        for i in range(20):
            x = x - model(x, torch.full((n, 1), i / 20 if backwards else 1 - i / 20)) / 20
        return x

    def loss(step: int) -> Tensor:
        x, noise, t = data[torch.randint(2000, (128,))], torch.rand(128, 2), torch.rand(128, 1)
        return F.mse_loss(model((1 - t) * x + t * noise, t), noise - x)

    found = causes(train(trainwright.watch(total=300, sample=sample, real=data, say=None), model, loss, 300))
    assert ("sampler_step_mismatch" in found) is backwards


class Scheduled(nn.Module):
    def __init__(self, most: float) -> None:
        super().__init__()
        self.net = nn.Linear(6, 6)
        products = torch.cumprod(1 - torch.linspace(1e-4, most, 10), 0)
        self.register_buffer("alphas_cumprod_sqrt", products.sqrt())

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


@pytest.mark.parametrize("most, named", [(2.0, True), (0.9, False)])
def test_a_schedule_that_is_not_a_number_is_named_at_once(most, named):
    torch.manual_seed(0)
    model, x = Scheduled(most), torch.randn(200, 6)

    def loss(step: int) -> Tensor:
        i = torch.randint(200, (32,))
        return F.mse_loss(model(x[i]), x[i])

    found = causes(train(trainwright.watch(total=20, say=None), model, loss, 20))
    assert ("schedule_invalid" in found) is named


@pytest.mark.parametrize("frozen", [True, False])
def test_batch_norm_that_is_frozen_for_one_of_two_losses_is_named(frozen):
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16))
    d = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
    first, second = torch.optim.Adam(generator.parameters(), 1e-3), torch.optim.Adam(d.parameters(), 1e-3)
    real = waves(400, 16)
    watch = trainwright.watch(total=60, sample=lambda n: generator(torch.randn(n, 8)), real=real, say=None)
    for step in range(60):
        fake = generator(torch.randn(32, 8))
        loss_d = F.softplus(-d(real[torch.randint(400, (32,))])).mean() + F.softplus(d(fake.detach())).mean()
        second.zero_grad()
        loss_d.backward()
        second.step()
        d[1].train(not frozen)
        loss_g = F.softplus(-d(fake)).mean()
        first.zero_grad()
        loss_g.backward()
        first.step()
        d[1].train()
        watch(step, loss_d=loss_d, loss_g=loss_g)
    assert ("batch_norm_modes_differ" in causes(watch)) is frozen


def letters(fault: str) -> Watch:
    torch.manual_seed(0)
    data = (torch.randint(3, (400, 1)) + torch.arange(10) * torch.randint(1, 4, (400, 1))) % 10
    model, begin = Letters(), 11 if fault == "start" else 10
    data = torch.cat([torch.full((400, 1), 10), data], 1)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        x, state = torch.full((n, 1), begin), None
        for _ in range(10):
            if fault == "state":
                _, logits = model(x[:, -1:])
            elif fault == "start":
                _, logits = model(x)
            else:
                (state,), logits = model(x[:, -1:], state)
            x = torch.cat([x, torch.multinomial(logits[:, -1].softmax(-1), 1)], 1)
        return x[:, 1:]

    watch = trainwright.watch(total=80, sample=sample, real=data[:, 1:], say=None)

    def loss(step: int) -> Tensor:
        x = data[torch.randint(400, (32,))]
        (state,), terms = (None,), []
        if fault in ("", "repeats"):  # one element in each call
            for t in range(9):
                (state,), logits = model(x[:, t : t + 1], state)
                terms.append(F.cross_entropy(logits[:, 0], x[:, t if fault == "repeats" else t + 1]))
            return torch.stack(terms).mean()
        return F.cross_entropy(model(x[:, :-1])[1].flatten(0, 1), x[:, 1:].flatten())

    return train(watch, model, loss, 80)


@pytest.mark.parametrize("fault, cause", [("state", "hidden_state_lost"), ("start", "condition_differs_when_sampling")])
def test_what_a_sequence_is_continued_from_is_compared(fault, cause):
    assert cause in causes(letters(fault))


def test_letters_one_by_one_with_their_state_show_nothing():
    assert causes(letters("")) == set()


class Parts(nn.Module):
    """VAE whose forward() is not called, unless mean and log-variance come from one layer."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.hidden, self.mean, self.log_variance = nn.Linear(16, 64), nn.Linear(64, 4), nn.Linear(64, 4)
        self.decoder = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 16))
        self.fault = fault

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.hidden(x).relu()
        return self.mean(h), self.mean(h)

    def loss(self, x: Tensor) -> Tensor:
        if self.fault == "one layer":
            mean, other = self(x)
        else:
            h = self.hidden(x).relu()
            mean, other = self.mean(h), self.log_variance(h)
        z = mean + torch.randn_like(mean) * (0.5 * other).exp()
        kl = 0.5 * (mean.square() + other.exp() - 1 - other).sum(1).mean()
        return (self.decoder(z) - x).square().sum(1).mean() * 4 + (1e-5 if self.fault == "weak" else 1.0) * kl


def vae(fault: str) -> Watch:
    torch.manual_seed(0)
    model, real = Parts(fault), waves(400, 16) * (3 if fault == "weak" else 1)
    watch = trainwright.watch(total=300, sample=lambda n: model.decoder(torch.randn(n, 4)), real=real, say=None)
    return train(watch, model, lambda step: model.loss(real[torch.randint(400, (64,))]), 300)


@pytest.mark.parametrize("fault, cause", [("one layer", "layer_used_twice"), ("weak", "beta_too_small")])
def test_codes_are_read_off_the_layers_of_a_network_that_is_never_called(fault, cause):
    assert cause in causes(vae(fault))


def test_codes_near_the_prior_show_nothing():
    assert causes(vae("")) == set()


class Codebook(nn.Module):
    def __init__(self, size: float) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(16, 8), nn.Linear(8, 16)
        self.codes = nn.Parameter(size * torch.randn(32, 8))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.encoder(x)
        q = F.embedding(torch.cdist(z, self.codes).argmin(1), self.codes)
        return self.decoder(z + (q - z).detach()), F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(z, q.detach())


@pytest.mark.parametrize("size, named", [(20.0, True), (0.5, False)])
def test_a_codebook_far_from_the_codes_is_named(size, named):
    torch.manual_seed(0)
    model, real = Codebook(size), waves(400, 16)

    def loss(step: int) -> Tensor:
        x = real[torch.randint(400, (64,))]
        out, codes = model(x)
        return F.mse_loss(out, x) + codes

    assert ("codebook_unused" in causes(train(trainwright.watch(total=200, say=None), model, loss, 200))) is named


@pytest.mark.parametrize("logarithms, named", [(True, True), (False, False)])
def test_targets_of_a_divergence_must_be_probabilities(logarithms, named):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 3), nn.LogSoftmax(1))
    x = torch.randn(200, 6)
    target = (x[:, :3] * 2).softmax(1)

    def loss(step: int) -> Tensor:
        i = torch.randint(200, (32,))
        return F.kl_div(model(x[i]), target[i], log_target=logarithms, reduction="batchmean")

    found = causes(train(trainwright.watch(total=40, say=None), model, loss, 40))
    assert ("loss_expects_probabilities" in found) is named


class Gate(nn.Module):
    def __init__(self, weight: float) -> None:
        super().__init__()
        self.main, self.fine, self.weight = nn.Linear(6, 3), nn.Linear(6, 3), weight

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x) + self.weight * self.fine(x)


@pytest.mark.parametrize("weight, named", [(0.0, True), (0.01, False)])
def test_a_part_whose_gradient_is_zero_is_named(weight, named):
    torch.manual_seed(0)
    model, x = Gate(weight), torch.randn(200, 6)

    def loss(step: int) -> Tensor:
        i = torch.randint(200, (32,))
        return F.mse_loss(model(x[i]), x[i, :3])

    assert ("not_trained" in causes(train(trainwright.watch(total=120, say=None), model, loss, 120))) is named


@pytest.mark.parametrize("factor", [1.0, 0.5, 12.0, 96.0])
def test_targets_are_read_off_means_and_sums(factor):
    torch.manual_seed(0)
    network = Network("net", nn.Linear(4, 12), "model")
    calls, handed = [], {}
    for turn in range(6):
        out, target = torch.randn(16, 12), (1 + turn) * torch.randn(16, 12)
        gradient = 2 * factor * (out - target) / out.numel()
        call = Call(network, turn, False, True, [], out, 0, "data", "", True, turn=turn)
        call.gradient, call.gradient_numel = gradient, gradient.numel()
        call.error = float(gradient.square().mean()) * gradient.numel() ** 2 / 4
        calls.append((call, target))
        handed[turn] = [factor * float(F.mse_loss(out, target))]
    found = error_factor([c for c, _ in calls], handed)
    assert found == pytest.approx(factor, rel=1e-3)
    read = read_targets(calls[0][0], found)
    assert read is not None and torch.allclose(read, calls[0][1], atol=1e-4)


@pytest.mark.parametrize("kind", ["absolute", "weighted"])
def test_other_losses_have_no_factor(kind):
    torch.manual_seed(0)
    network, calls, handed = Network("net", nn.Linear(4, 12), "model"), [], {}
    for turn in range(6):
        out, target = torch.randn(16, 12), (1 + turn) * torch.randn(16, 12)
        call = Call(network, turn, False, True, [], out, 0, "data", "", True, turn=turn)
        error = (out - target).sign() if kind == "absolute" else 200 * (out - target)
        call.gradient, call.gradient_numel = error / out.numel(), out.numel()
        call.error = float(call.gradient.square().mean()) * out.numel() ** 2 / 4
        calls.append(call)
        handed[turn] = [float((out - target).abs().mean() if kind == "absolute" else 100 * F.mse_loss(out, target))]
    assert error_factor(calls, handed) is None


def test_clips_are_judged():
    torch.manual_seed(0)
    model, real = nn.Linear(4, 192), torch.rand(64, 1, 3, 8, 8)
    watch = trainwright.watch(
        total=20, sample=lambda n: model(torch.randn(n, 4)).view(n, 1, 3, 8, 8), real=real, say=None
    )
    train(watch, model, lambda step: F.mse_loss(model(torch.randn(16, 4)), real[:16].flatten(1)), 20)
    causes(watch)
    assert "samples/precision" in watch.rows[-1]


def test_a_model_of_masked_tokens_is_no_rollout():
    torch.manual_seed(0)
    symbols, length, mask = 12, 8, 12
    data = (torch.randint(symbols, (400, 1)) + 2 * torch.arange(length)) % symbols

    class Filler(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.given, self.tokens = nn.Linear(4, 24), nn.Embedding(symbols + 1, 24)
            self.place = nn.Parameter(0.1 * torch.randn(length + 1, 24))
            layer = nn.TransformerEncoderLayer(24, 2, 48, dropout=0.0, batch_first=True)
            self.encoder, self.head = nn.TransformerEncoder(layer, 1), nn.Linear(24, symbols)

        def forward(self, obs: Tensor, x: Tensor) -> Tensor:
            return self.head(self.encoder(torch.cat([self.given(obs)[:, None], self.tokens(x)], 1) + self.place)[:, 1:])

    net = Filler()

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        obs, x = torch.randn(n, 4), torch.full((n, length), mask)
        for place in torch.randperm(length):
            x[:, place] = torch.multinomial(net(obs, x)[:, place].softmax(1), 1)[:, 0]
        return x

    def loss(step: int) -> Tensor:
        x = data[torch.randint(len(data), (32,))]
        hidden = torch.rand(x.shape) < 0.5
        scores = net(torch.randn(32, 4), x.masked_fill(hidden, mask))
        return F.cross_entropy(scores[hidden], x[hidden])

    watch = train(trainwright.watch(total=60, sample=sample, real=data, say=None), net, loss)
    assert not {"rollout_window_wrong", "targets_misaligned", "targets_in_input", "state_leaks"} & causes(watch)

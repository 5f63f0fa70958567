"""Sequences of symbols: pairs of neighbours in samples, decoding that draws nothing, axes and masks that are meant so."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from trainwright.diagnosis.doctor import examine
from trainwright.diagnosis.history import History
from trainwright.diagnosis.observing.experiments import _scale
from trainwright.diagnosis.probes.samples import SampleProbe
from trainwright.diagnosis.probes.tokens import TokenProbe

SYMBOLS, LENGTH = 8, 20


def walks(n: int = 600) -> Tensor:
    """Return sequences (n, LENGTH) of a walk on a ring: from k to k + 1 (half), k + 3 or k + 4."""
    g = torch.Generator().manual_seed(0)
    steps = torch.tensor([1, 1, 3, 4])[torch.randint(4, (n, LENGTH), generator=g)]
    return (torch.randint(SYMBOLS, (n, 1), generator=g) + steps.cumsum(1)) % SYMBOLS


def test_pairs_of_neighbours_tell_other_sequences_from_real_ones():
    real = walks()
    probe = TokenProbe(real[:400])
    own = probe.measure(real[400:])
    assert own["samples/pair_distance"] == pytest.approx(own["real/pair_distance"], abs=0.02)
    shuffled = torch.stack([row[torch.randperm(LENGTH)] for row in real[400:]])
    other = probe.measure(shuffled)
    assert other["samples/pair_distance"] > own["real/pair_distance"] + 0.3
    assert other["samples/symbol_distance"] == pytest.approx(own["samples/symbol_distance"])


@pytest.mark.parametrize(
    ("apart", "severity"),
    [
        (lambda i: 0.4, "sick"),
        (lambda i: 0.3, "suspect"),
        (lambda i: 0.2, None),
        (lambda i: 0.9 * 0.9**i, None),  # it still learns
        (lambda i: 0.4 if i < 5 else 0.17, None),
    ],
)
def test_other_pairs_for_long_are_samples_off_the_data(apart, severity):
    rows = [{"step": 100 * i, "samples/pair_distance": apart(i), "real/pair_distance": 0.15} for i in range(1, 13)]
    found = {f.symptom.name: f.severity for f in examine(History.of(rows, total=1200)).findings}
    assert found.get("off_data") == severity


class Next(nn.Module):
    """Scores of the next symbol: (n, L) -> (n, L, SYMBOLS)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn, self.head = (
            nn.Embedding(SYMBOLS, 16),
            nn.GRU(16, 32, batch_first=True),
            nn.Linear(32, SYMBOLS),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.embed(x))[0])


@pytest.mark.parametrize("draws", [True, False])
def test_a_sampler_that_draws_nothing_goes_round_in_circles(draws):
    torch.manual_seed(0)
    data, net = walks(), Next()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        x = torch.randint(SYMBOLS, (n, 1))
        for _ in range(LENGTH - 1):
            scores = net(x)[:, -1]
            x = torch.cat([x, torch.multinomial(scores.softmax(1), 1) if draws else scores.argmax(1, keepdim=True)], 1)
        return x

    watch = trainwright.watch(total=150, sample=sample, real=data, say=None)
    for step in range(150):
        x = data[torch.randint(len(data), (64,))]
        loss = F.cross_entropy(net(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    watch.close()
    assert watch.failed is None and watch.observer.failed is None
    assert ("sampling_without_noise" in watch._inspections) is not draws


def test_a_recurrent_network_may_take_time_first():
    torch.manual_seed(0)
    data = torch.randn(400, 12, 2).cumsum(1)
    rnn, head = nn.LSTM(2, 16), nn.Linear(16, 2)
    net = nn.ModuleDict({"rnn": rnn, "head": head})

    class Predictor(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = net

        def forward(self, x: Tensor, state: object = None) -> tuple[Tensor, object]:
            out, state = rnn(x, state)
            return head(out), state

    model = Predictor()
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        x, state, path = torch.zeros(1, n, 2), None, []
        for _ in range(12):
            out, state = model(x, state)
            x = x + out + torch.randn_like(out)
            path.append(x[0])
        return torch.stack(path, 1)

    watch = trainwright.watch(total=80, sample=sample, real=data, say=None)
    for step in range(80):
        x = data[torch.randint(len(data), (40,))].transpose(0, 1)
        loss = (model(x[:-1])[0] - x.diff(dim=0)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    watch.close()
    assert not {"hidden_state_lost", "batch_time_swapped", "targets_in_input"} & set(watch._inspections)


def test_noise_that_is_added_is_not_taken_for_the_scale_of_the_data():
    torch.manual_seed(0)
    x = F.interpolate(torch.randn(200, 3, 2, 2), size=8, mode="bilinear")
    x = x / x.std()
    sigma = (torch.rand(200, 1, 1, 1) * 6 - 3).exp()
    added = x + sigma * torch.randn_like(x)
    assert float(added.std()) > 4 and _scale([added]) < 1.5
    share = torch.rand(200, 1, 1, 1)
    kept = share.sqrt() * 30 * x + (1 - share).sqrt() * torch.randn_like(x)  # data that are too large
    assert _scale([kept]) > 10
    kept = share.sqrt() * x + (1 - share).sqrt() * torch.randn_like(x)
    assert 0.7 < _scale([kept]) < 1.3


def test_samples_that_are_only_scaled_otherwise_are_told_from_bad_ones():
    g = torch.Generator().manual_seed(0)
    corners = 100 + 60 * torch.randint(0, 2, (600, 6), generator=g) + 8 * torch.randn(600, 6, generator=g)
    probe = SampleProbe(corners[:300], corners[:0])
    normalized = (corners[300:428] - 130) / 30
    assert probe.measure(normalized)["samples/range_ratio"] == pytest.approx(1 / 31, rel=0.1)
    assert "samples/range_ratio" not in probe.measure(corners[300:428])
    assert "samples/range_ratio" not in probe.measure(torch.randn(128, 6, generator=g))
    assert "samples/range_ratio" not in probe.measure(corners[:1] + 0.1 * torch.randn(128, 6, generator=g))


@pytest.mark.parametrize(("axis", "named"), [(-1, False), (1, False), (0, True), (-2, True)])
def test_a_softmax_over_the_batch_is_named(axis, named):
    torch.manual_seed(0)
    net, x, y = nn.Linear(6, 4), torch.randn(300, 6), torch.randint(4, (300,))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    watch = trainwright.watch(total=40, say=None)
    for step in range(40):
        i = torch.randint(300, (32,))
        loss = F.nll_loss(net(x[i]).log_softmax(axis), y[i])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    watch.close()
    assert ("softmax_over_batch" in watch._inspections) is named


def test_a_contrastive_loss_may_normalize_both_axes():
    torch.manual_seed(0)
    one, other, x = nn.Linear(6, 8), nn.Linear(6, 8), torch.randn(300, 6)
    optimizer = torch.optim.Adam([*one.parameters(), *other.parameters()], 1e-2)
    watch = trainwright.watch(total=40, say=None)
    for step in range(40):
        i = torch.randint(300, (32,))
        scores = one(x[i]) @ other(x[i] + 0.1).T
        loss = -(scores.log_softmax(0).diag() + scores.log_softmax(1).diag()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    watch.close()
    assert "softmax_over_batch" not in watch._inspections


@pytest.mark.parametrize("physical", [False, True])
def test_a_rollout_feeds_back_what_it_is_trained_with(physical):
    torch.manual_seed(0)
    runs = 275 + 30 * torch.cumsum(torch.randn(300, 8, 6), 1)
    mean, std = runs.mean(), runs.std()
    states, net = (runs - mean) / std, nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 6))
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        x, found = states[:n, 0], []
        for _ in range(7):
            y = net(x)
            found.append(y * std + mean)
            x = found[-1] if physical else y
        return torch.stack(found, 1)

    watch = trainwright.watch(total=80, sample=sample, real=runs[:, 1:], say=None)
    for step in range(80):
        i, t = torch.randint(300, (64,)), torch.randint(7, (64,))
        loss = (net(states[i, t]) - states[i, t + 1]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    watch.close()
    assert watch.failed is None and watch.observer.failed is None
    assert ("rollout_not_normalized" in watch._inspections) is physical

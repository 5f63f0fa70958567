"""Update, EMA and randomness in isolation."""

import time

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trainwright.engine.ema import Average, averaged_copy
from trainwright.engine.model import ParamGroup
from trainwright.engine.recorder import Recorder
from trainwright.engine.update import Updater, sum_terms
from trainwright.errors import NonFinite
from trainwright.randomness import derive


class Toy:
    """Two networks, two groups."""

    def __init__(self):
        torch.manual_seed(0)
        self.networks = {"a": nn.Linear(3, 1), "b": nn.Linear(3, 1)}
        self.groups = {
            n: ParamGroup((n,), torch.optim.SGD(m.parameters(), lr=9.0), 0.1, {}) for n, m in self.networks.items()
        }
        self.averaged = {}


def updater(toy, clip=None):
    return Updater(toy, Fabric(accelerator="cpu", devices=1), Recorder(), clip)


def test_only_the_groups_own_parameters_get_gradients_and_move():
    toy = Toy()
    before = {n: m.weight.clone() for n, m in toy.networks.items()}
    out = toy.networks["a"](torch.ones(2, 3)) + toy.networks["b"](torch.ones(2, 3))
    updater(toy)("a", {"x": (1.0, out.mean())}, 0, 0.0)
    assert torch.allclose(toy.networks["a"].weight, before["a"] - 0.1)
    assert torch.equal(toy.networks["b"].weight, before["b"])
    assert toy.networks["b"].weight.grad is None


def test_a_non_finite_term_leaves_every_weight_untouched_and_is_named():
    toy = Toy()
    before = toy.networks["a"].weight.clone()
    good = toy.networks["a"](torch.ones(2, 3)).mean()
    with pytest.raises(NonFinite, match="term 'bad'") as caught:
        updater(toy)("a", {"good": (1.0, good), "bad": (1.0, good * float("inf"))}, 7, 0.0)
    assert torch.equal(toy.networks["a"].weight, before)
    assert caught.value.evidence["step"] == 7


def test_clipping_limits_the_step_and_records_that_it_did():
    toy = Toy()
    before = toy.networks["a"].weight.clone()
    update = updater(toy, clip=0.5)
    update("a", {"x": (100.0, toy.networks["a"](torch.ones(2, 3)).mean())}, 0, 0.0)
    moved = torch.cat([(toy.networks["a"].weight - before).flatten()])
    assert moved.norm() <= 0.1 * 0.5 + 1e-6
    assert update.recorder.window.take()["clipped/a"] == 1.0


def test_weighted_shares_sum_to_one_and_raw_terms_are_recorded():
    toy = Toy()
    update = updater(toy)
    x = toy.networks["a"](torch.ones(2, 3)).mean()
    update("a", {"p": (2.0, x), "q": (-1.0, x * 0 + 4.0)}, 0, 0.0)
    row = update.recorder.window.take()
    assert row["a/q"] == 4.0
    assert row["share/a/p"] + row["share/a/q"] == pytest.approx(1)


def test_an_update_without_terms_is_a_programming_error():
    with pytest.raises(ValueError, match="at least one term"):
        sum_terms({})


def test_average_follows_weights_and_buffers_by_the_formula():
    network = nn.BatchNorm1d(4)
    twin = averaged_copy(network)
    network.weight.data.fill_(3.0)
    network.running_mean.fill_(8.0)
    network.num_batches_tracked.fill_(5)
    Average(network, twin).update(0.75)
    assert torch.allclose(twin.weight, torch.full((4,), 1.5))
    assert torch.allclose(twin.running_mean, torch.full((4,), 2.0))
    assert twin.num_batches_tracked == 5


def test_average_equals_torchs_but_for_counters_and_takes_less_time():
    torch.manual_seed(0)
    network = nn.Sequential(*(layer for _ in range(10) for layer in (nn.Linear(8, 8), nn.BatchNorm1d(8))))
    twin = averaged_copy(network)
    ours, theirs = Average(network, twin), AveragedModel(network, None, None, get_ema_multi_avg_fn(0.9), True)
    theirs.n_averaged.fill_(1)  # else its first update is a copy
    seconds = {"ours": 0.0, "theirs": 0.0}
    for _ in range(20):
        network(torch.randn(4, 8))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn(parameter.shape))
        begin = time.process_time()
        ours.update(0.9)
        middle = time.process_time()
        theirs.update_parameters(network)
        seconds["ours"] += middle - begin
        seconds["theirs"] += time.process_time() - middle
    expected = theirs.module.state_dict()
    unlike = {name for name, value in twin.state_dict().items() if not torch.equal(value, expected[name])}
    assert unlike == {name for name in expected if name.endswith("num_batches_tracked")}
    assert twin[1].num_batches_tracked == 20 > expected["1.num_batches_tracked"]
    assert seconds["ours"] < seconds["theirs"]


def test_derived_seeds_are_stable_and_apart():
    assert derive("step", 0, 1, 0, 0) == derive("step", 0, 1, 0, 0)
    seeds = {derive("step", s, t, r, k) for s in range(5) for t in range(50) for r in range(2) for k in range(2)}
    assert len(seeds) == 1000

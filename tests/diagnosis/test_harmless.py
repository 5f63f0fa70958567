"""Contract: watching changes nothing in a training, and no error in it ends the training."""

import random
import warnings
from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import trainwright
from trainwright.diagnosis import watch as module


def train(watched: bool, steps: int = 40, sample_mode: str = "train", **options):
    """Train a small GAN with BatchNorm, dropout and an average; return everything that watching could have changed."""
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    G = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 8), nn.Tanh())
    D = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
    opt_g, opt_d = (torch.optim.Adam(net.parameters(), 1e-3, betas=(0.5, 0.999)) for net in (G, D))
    real = torch.rand(200, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    if sample_mode == "eval":
        G.eval()

    def sample(n: int) -> torch.Tensor:
        np.random.rand()
        random.random()
        G.train(sample_mode == "train")
        return G(torch.randn(n, 4))

    watch = trainwright.watch(total=steps, sample=sample, real=real, say=None, **options) if watched else None
    for step in range(steps):
        G.train()
        batch = real[torch.randint(len(real), (16,))]
        fake = G(torch.randn(16, 4))
        loss_d = F.softplus(-D(batch)).mean() + F.softplus(D(fake.detach())).mean()
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        loss_g = F.softplus(-D(fake)).mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        if watch is not None:
            watch(step, loss_D=loss_d, loss_G=loss_g)
    if watch is not None:
        watch.close()
    tensors = [t for net in (G, D) for t in (*net.parameters(), *net.buffers())]
    tensors += [p.grad for net in (G, D) for p in net.parameters()]
    tensors += [v for opt in (opt_g, opt_d) for s in opt.state.values() for v in s.values()]
    modes = [m.training for net in (G, D) for m in net.modules()]
    draws = (torch.rand(3).tolist(), np.random.rand(), random.random())
    hooks = sum(len(m._forward_hooks) for net in (G, D) for m in net.modules()) + sum(
        len(p._backward_hooks or {}) for net in (G, D) for p in net.parameters()
    )
    return [t.clone() for t in tensors], modes, draws, hooks, watch


@pytest.mark.parametrize("sample_mode", ["train", "eval"])
def test_weights_buffers_gradients_modes_and_random_numbers_are_the_same(sample_mode):
    plain, watched = train(False), train(True, sample_mode=sample_mode)
    assert watched[4].failed is None and watched[4].observer.failed is None
    assert all(torch.equal(a, b) for a, b in zip(plain[0], watched[0], strict=True))
    assert plain[1:4] == watched[1:4], "modes, draws and hooks"


@cache
def unwatched(steps: int):
    return train(False, steps=steps)


def points_of_failure() -> list[tuple[object, str]]:
    """Every function of the watch and of what it calls that could raise."""
    from trainwright.diagnosis import inspection
    from trainwright.diagnosis.observing import (
        calls,
        errors,
        experiments,
        networks,
        observer,
        optimizers,
        replay,
        sampler,
    )
    from trainwright.diagnosis.probes.samples import SampleProbe

    return [
        *((module.Watch, n) for n in ("_take", "_diagnose", "_conclude", "_draw", "_call_sample", "_experiment",
                                      "_inspect", "_row", "_name_unknown", "_save", "_tell", "_say", "history",
                                      "_due", "_over", "_weights", "_known")),
        *((experiments, n) for n in ("vary_inputs", "try_sampler", "test_structure")),
        *((errors, n) for n in ("baseline", "reduction", "is_summed_kl", "read_tokens", "read_classes", "read_bits", "error_factor")),
        *((module, n) for n in ("examine", "inspect", "message", "user_frame", "kinds_of", "derive", "mapping", "_kept", "kl_weight")),
        *((observer.Observer, n) for n in ("record", "signals", "settings", "facts", "view", "before_probe", "_find", "_read_losses",
                                           "_open", "_averages", "_by_signal", "sampling", "_weightless", "_is_new", "_recognise",
                                           "_before_step", "_beside_frozen", "baseline", "_unwrap", "_take_apart")),
        *((observer, n) for n in ("read_graph", "find_networks", "living", "names_in", "initial_weights", "tables")),
        *((optimizers.OptimizerObserver, n) for n in ("_before_step", "_after_step", "_measure", "_moved", "_follow", "_read", "add",
                                                     "_look", "_compare")),
        *((optimizers.GradientFlow, n) for n in ("_arrive", "step", "_replaced")),
        *((calls.CallObserver, n) for n in ("_record", "open", "close", "stepped", "tidy", "begin_sampling", "end_sampling", "_pair")),
        *((replay, n) for n in ("can_repeat", "test_conditions", "test_neighbours", "test_future", "test_parts", "test_modes",
                                   "test_draws", "test_scale", "test_slope")),
        (sampler, "find_alphas"), (networks, "role_of"), (inspection, "inspect"), (SampleProbe, "measure"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "owner, name",
    points_of_failure(),
    ids=lambda x: x if isinstance(x, str) else getattr(x, "__name__", "x").rpartition(".")[2],
)
def test_an_error_anywhere_ends_the_watching_and_not_the_loop(owner, name, monkeypatch, tmp_path):
    plain = unwatched(20)

    def broken(*args, **kwargs):
        raise ZeroDivisionError("injected")

    real = getattr(owner, name)
    count = {"calls": 0}

    def third(*args, **kwargs):
        count["calls"] += 1
        if count["calls"] >= 3:
            raise ZeroDivisionError("injected")
        return real(*args, **kwargs)

    for substitute in (broken, third):
        count["calls"] = 0
        monkeypatch.setattr(owner, name, substitute)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            watched = train(True, steps=20, folder=tmp_path / substitute.__name__, every=5)
        monkeypatch.undo()
        assert all(torch.equal(a, b) for a, b in zip(plain[0], watched[0], strict=True))
        assert plain[1:3] == watched[1:3]


@pytest.mark.parametrize(
    "error", [ValueError("bad"), KeyError("x"), RuntimeError("out of memory"), StopIteration(), AssertionError()]
)
def test_an_error_in_sample_becomes_one_warning(error):
    torch.manual_seed(0)
    net = nn.Linear(8, 8)
    opt = torch.optim.SGD(net.parameters(), 0.1)

    def sample(n: int):
        raise error

    watch = trainwright.watch(total=40, sample=sample, real=torch.randn(64, 8), say=None)
    with pytest.warns(RuntimeWarning, match="samples are not judged any more") as caught:
        for step in range(40):
            loss = net(torch.randn(4, 8)).square().mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            watch(step, loss=loss)
    assert len([w for w in caught if "sample(" in str(w.message)]) == 1
    assert watch.failed is None and watch.close().verdict != "healthy"


@pytest.mark.parametrize(
    "real",
    [
        torch.rand(40, 3, 8, 8), np.random.rand(40, 3, 8, 8), list(torch.rand(40, 3, 8, 8)),
        np.random.rand(40, 8, 8, 3).astype(np.float32),
        (np.random.rand(40, 8, 8, 3) * 255).astype(np.uint8), torch.utils.data.TensorDataset(torch.rand(40, 3, 8, 8), torch.zeros(40)),
        torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.rand(40, 3, 8, 8)), 8, shuffle=True),
        torch.utils.data.DataLoader([{"image": torch.rand(3, 8, 8)} for _ in range(40)], 8),
    ],
    ids=["tensor", "array", "list", "channels last", "uint8", "dataset", "loader", "loader of dicts"],
)  # fmt: skip
def test_real_is_taken_as_users_hold_it(real):
    watch = trainwright.watch(total=40, sample=lambda n: torch.rand(n, 3, 8, 8), real=real, say=None, every=10)
    for step in range(40):
        watch(step, loss=1 / (step + 1), nothing=None)
    row = next(r for r in watch.rows if "samples/precision" in r)
    assert row["samples/contrast_ratio"] == pytest.approx(1, abs=0.1)
    assert "nothing" not in watch.rows[0]


@pytest.mark.parametrize("real", ["images/", 3, {"a": 1}, [object(), object()], torch.tensor(3.0)])
def test_what_is_no_data_is_refused_with_a_sentence(real):
    with pytest.raises(trainwright.UserError, match="watch: real"):
        trainwright.watch(sample=lambda n: torch.rand(n, 3, 8, 8), real=real, say=None)


def test_ids_and_one_hot_rows_are_compared_as_symbols():
    ids = torch.randint(0, 6, (100, 12))
    for real, sample in (
        (ids, lambda n: torch.randint(0, 6, (n, 12))),
        (F.one_hot(ids, 6).float().flatten(1), lambda n: F.one_hot(torch.randint(0, 6, (n, 12)), 6).float().flatten(1)),
    ):
        watch = trainwright.watch(total=40, sample=sample, real=real, say=None, every=10)
        for step in range(40):
            watch(step, loss=1.0)
        names = {n for r in watch.rows for n in r}
        assert "samples/diversity_ratio" in names and "samples/precision" not in names


def test_unknown_names_are_named_at_the_first_row():
    said: list[str] = []
    watch = trainwright.watch(total=40, say=said.append)
    watch(0, flurb=1.0, loss=2.0)
    assert len(said) == 1 and "flurb" in said[0] and "names=" in said[0]

"""A NaN or infinity is caught before the optimizer, named, written down, and nothing healthy is lost."""

import math

import pytest
import torch

from tests.conftest import all_tensors
from trainwright import catalog as registry
from trainwright.engine.model import build
from trainwright.engine.trainer import Trainer
from trainwright.runs.folder import read_lines


def poison(monkeypatch, title, *, at_step: int, where: str, times: int = 1) -> None:
    """From ``at_step`` on, ``times`` times: a NaN in the batch, or in the first gradient of every group."""
    left = {"n": times}
    family, config = registry.load(title)
    model = family.load(config)
    step = model.training_step

    def poisoned(self, batch, at):
        if at.step >= at_step and left["n"] > 0:
            left["n"] -= 1
            if where == "batch":
                batch = batch.clone()
                batch[(0,) * batch.dim()] = float("nan")
            else:
                network = next(iter(self.networks[name] for g in self.groups.values() for name in g.networks))
                first = next(network.parameters())
                handle = first.register_hook(lambda grad: grad * float("nan"))
                try:
                    return step(self, batch, at)
                finally:
                    handle.remove()
        return step(self, batch, at)

    monkeypatch.setattr(model, "training_step", poisoned)


@pytest.mark.parametrize("where", ["batch", "gradient"])
def test_a_nan_stops_before_the_optimizer_and_the_same_command_goes_on(
    family, where, quick, finished, monkeypatch, tmp_path
):
    title = next(iter(recipes_of(family)))
    whole = all_tensors(finished(title).run)
    with monkeypatch.context() as context:
        poison(context, title, at_step=5, where=where)
        crashed = quick(title, run=tmp_path / "hurt")
    assert crashed.status == "crashed"
    assert crashed.step == 5
    facts = crashed.run.read()
    assert facts["verdict"] == "crashed"
    event = next(e for e in crashed.run.events() if e["event"] == "non_finite")
    assert event["step"] == 5
    assert "nan" in event["message"]
    assert event["evidence"]["group"]
    assert event["evidence"]["term"] or event["evidence"]["tensor"]
    assert (crashed.run.checkpoints / "step_00000004").exists()
    again = quick(title, run=tmp_path / "hurt")  # the NaN was not in the data: the same command goes on
    assert again.status == "finished"
    recovered = all_tensors(again.run)
    assert [key for key in whole if not torch.equal(whole[key], recovered[key])] == []
    assert again.run.read()["verdict"] == "unknown"


def test_rollback_takes_another_path_and_is_bounded(family, quick, monkeypatch, tmp_path):
    title = next(iter(recipes_of(family)))
    with monkeypatch.context() as context:
        poison(context, title, at_step=3, where="batch")
        outcome = quick(title, "on_nonfinite=rollback", run=tmp_path / "one")
    assert outcome.status == "finished"
    kinds = [e["event"] for e in outcome.run.events()]
    assert kinds == ["started", "non_finite", "rollback", "finished"]
    with monkeypatch.context() as context:
        poison(context, title, at_step=3, where="batch", times=10**9)
        outcome = quick(title, "on_nonfinite=rollback", "max_rollbacks=2", run=tmp_path / "all")
    assert outcome.status == "crashed"
    assert [e["event"] for e in outcome.run.events()].count("rollback") == 2


def test_broken_weights_are_never_saved_as_a_checkpoint(family, quick, monkeypatch, tmp_path):
    title = next(iter(recipes_of(family)))

    def break_weights(self, *args, **kwargs):
        if self.state.step == 4:
            with torch.no_grad():
                next(iter(self.model.networks.values())).state_dict()[KEY].fill_(float("inf"))
        return checkpoint(self, *args, **kwargs)

    checkpoint = Trainer.save
    from tests.conftest import quick_config

    chosen, config = quick_config(title, "sprites")
    KEY = next(iter(next(iter(build(chosen, config).networks.values())).state_dict()))
    monkeypatch.setattr(Trainer, "save", break_weights)
    outcome = quick(title, run=tmp_path / "run")
    assert outcome.status == "crashed"
    assert KEY in outcome.message
    names = sorted(p.name for p in outcome.run.checkpoints.iterdir())
    assert names == ["step_00000000", "step_00000002"]


def test_metrics_never_hold_a_nan(family, quick, monkeypatch, tmp_path):
    title = next(iter(recipes_of(family)))
    with monkeypatch.context() as context:
        poison(context, title, at_step=2, where="batch")
        outcome = quick(title, "log_every=1", run=tmp_path / "run")
    for row in read_lines(outcome.run.metrics):
        assert all(math.isfinite(v) for v in row.values())


def recipes_of(family):
    from trainwright import catalog as registry

    return (title for title, recipe in registry.recipes().items() if recipe.family == family.name)

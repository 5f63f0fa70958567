"""Phases take effect, end by their gates, begin from the best weights, survive a kill, and say what they do."""

import json
from pathlib import Path

import pytest
import torch

from tests.conftest import all_tensors, quick_config, signals
from trainwright import catalog as registry
from trainwright.engine import checkpoint as checkpoints
from trainwright.engine.inference import load
from trainwright.engine.phases import Phase, PhaseSchedule, holds
from trainwright.errors import UserError
from trainwright.runs.folder import Run

TWO = [
    {"name": "one", "steps": 3, "settings": {"lr_g": 1e-4}},
    {"name": "two", "steps": 3, "settings": {"lr_g": 3e-4, "lambda_gp": 2.0}},
]


def words(phases: list) -> tuple[str, ...]:
    return (f"phases={json.dumps(phases)}", "steps=null", "log_every=1")


def schedule(*phases: dict) -> PhaseSchedule:
    return PhaseSchedule(registry.load("wgan_gp/tiny", words(list(phases)))[1])


def test_settings_take_effect_and_add_up(quick):
    run = quick("wgan_gp/tiny", *words(TWO)).run
    rows = signals(run)
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["weight/critic/penalty"] for row in rows] == [10.0] * 3 + [2.0] * 3
    assert [row["lr/generator"] for row in rows if "lr/generator" in row] == [1e-4, 3e-4, 3e-4]
    assert [row["phase/index"] for row in rows] == [0, 0, 0, 1, 1, 1]
    reported = [(e["event"], e.get("phase")) for e in run.events() if e["event"].startswith("phase")]
    assert reported == [("phase_ended", "one"), ("phase_started", "two"), ("phase_ended", "two")]


def test_resume_is_bit_exact_across_phases(quick, tmp_path):
    whole = quick("wgan_gp/tiny", *words(TWO), run=tmp_path / "whole")
    for stop_after in (2, 3, 4):
        run = tmp_path / f"parts{stop_after}"
        left = iter([False] * (stop_after - 1) + [True])
        first = quick("wgan_gp/tiny", *words(TWO), run=run, stop=lambda left=left: next(left, False))
        assert (first.status, first.step) == ("interrupted", stop_after)
        second = quick("wgan_gp/tiny", *words(TWO), run=run)
        assert (second.status, second.step) == ("finished", 6)
        one, two = all_tensors(whole.run), all_tensors(second.run)
        assert [key for key in one if not torch.equal(one[key], two[key])] == []
        assert signals(whole.run) == signals(second.run)


def test_a_network_of_another_shape_begins_anew_and_that_is_said(quick, sprites):
    phases = [TWO[0], {"name": "two", "steps": 3, "settings": {"critic_features": 16}}]
    outcome = quick("wgan_gp/tiny", *words(phases))
    started = next(e for e in outcome.run.events() if e["event"] == "phase_started")
    assert started["reinitialized"] == ["critic"]
    tensors = all_tensors(outcome.run)
    assert tensors["network.critic.layers.0.weight"].shape[0] == 16
    state = checkpoints.latest(outcome.run.checkpoints).state
    assert state["updates"] == {
        "critic": 3,
        "generator": 3,
    }  # the generator's count continues, the critic's starts at 0
    trained = load(registry.family("wgan_gp"), outcome.run)  # knows in which phase it is
    assert next(iter(trained.samples(2, 0))).shape[0] == 2
    again = quick("wgan_gp/tiny", *words([phases[0], {**phases[1], "steps": 5}]))
    assert (again.status, again.step) == ("finished", 8)


def test_the_next_phase_begins_with_the_best_weights_of_the_last(quick):
    """The metric falls after its best reading, so the later weights are not the ones that go on."""
    first = {"name": "one", "steps": 4, "metric": "critic/wasserstein", "better": "lower"}
    outcome = quick("wgan_gp/tiny", *words([first, {"name": "two", "steps": 1}]))
    rows = signals(outcome.run)[:4]
    lowest = min(rows, key=lambda row: row["critic/wasserstein"])["step"]
    started = next(e for e in outcome.run.events() if e["event"] == "phase_started")
    assert started["weights_of_step"] == lowest
    assert [p.name for p in (outcome.run.folder / "phases" / "one").iterdir()] == [f"step_{lowest:08d}"]


def test_a_run_ends_with_the_best_weights_of_its_last_phase(quick, tmp_path):
    last = {"name": "one", "steps": 6, "metric": "critic/wasserstein", "better": "lower"}
    outcome = quick("wgan_gp/tiny", *words([last]))
    rows = [row for row in signals(outcome.run) if row["step"] < 6]  # the last row is of the weights that were put in
    lowest = min(rows, key=lambda row: row["critic/wasserstein"])["step"]
    reported = next(e for e in outcome.run.events() if e["event"] == "best_weights")
    assert (reported["step"], reported["weights_of_step"]) == (6, lowest)
    kept = checkpoints.load_tensors(outcome.run.folder / "phases" / "one" / f"step_{lowest:08d}" / checkpoints.TENSORS)
    final = all_tensors(outcome.run)
    assert all(torch.equal(final[key], kept[key]) for key in kept if key.startswith("network."))
    left = iter([False] * 3 + [True])
    quick("wgan_gp/tiny", *words([last]), run=tmp_path / "parts", stop=lambda: next(left, False))
    again = all_tensors(quick("wgan_gp/tiny", *words([last]), run=tmp_path / "parts").run)
    assert all(torch.equal(final[key], again[key]) for key in final)


def test_early_stopping_ends_a_phase_and_not_the_run(quick):
    """Nothing is better than a first reading by so much, so each phase ends at its second epoch."""
    phases = [{"name": "one", "steps": 50}, {"name": "two", "steps": 50}]
    outcome = quick("gaussian_vae/conv1d_base", "early_stopping_patience=1", "min_delta=1e9", *words(phases))
    run, epoch = outcome.run, outcome.step // 4
    reported = [(e["step"], e["event"], e["phase"]) for e in run.events() if e["event"].startswith("phase")]
    assert reported == [
        (2 * epoch, "phase_ended", "one"),
        (2 * epoch, "phase_started", "two"),
        (4 * epoch, "phase_ended", "two"),
    ]
    assert [e["because"] for e in run.events() if e["event"] == "phase_ended"] == [
        f"early stopping: no better validation/loss since step {step * epoch}" for step in (1, 3)
    ]
    assert outcome.status == "finished"


def test_the_gate_of_the_last_phase_ends_the_run_and_says_so_once(quick):
    last = {"name": "two", "steps": 50, "reach": {"critic/wasserstein": "> -1e9"}}
    outcome = quick("wgan_gp/tiny", *words([TWO[0], last]))
    reported = [e for e in outcome.run.events() if e["event"] == "phase_ended"]
    assert (outcome.status, outcome.step) == ("finished", 4)
    assert [(e["phase"], e["step"]) for e in reported] == [("one", 3), ("two", 4)]
    assert reported[1]["because"].startswith("gate passed")


def test_gates() -> None:
    gate = schedule(
        {"name": "a", "steps": 100, "metric": "x", "plateau": 2, "reach": {"x": ">= 15", "y": "< .2"}},
        {"name": "b", "steps": 10, "needs": {"x": "> 20"}},
        {"name": "c", "steps": 10},
    )
    assert gate.total == 120
    assert gate.read({"x": 14.0, "y": 0.1}) and gate.ended(10) is None
    assert gate.read({"x": 16.0}) and gate.ended(20) is None  # the level is reached, the plateau is not
    assert not gate.read({"x": 15.5}) and gate.ended(30) is None
    assert not gate.read({"z": 1.0}) and gate.ended(35) is None  # a row without the metric is no reading
    assert not gate.read({"x": 15.0})
    ended = gate.ended(40)
    assert ended is not None and "x 15 >= 15" in ended and "y 0.1 < .2" in ended
    again = schedule(*[p.model_dump() for p in gate.phases])
    again.restore(json.loads(json.dumps(gate.state())))
    assert again.state() == gate.state()
    assert gate.advance(40) == [("b", "x > 20 (is 15)")]
    assert (gate.phase.name, gate.started, gate.best, gate.total) == ("c", 40, None, 50)
    assert gate.advance(50) == [] and gate.over


def test_a_gate_looks_at_readings_of_its_own_phase_alone() -> None:
    gate = schedule(*({"name": name, "steps": 100, "reach": {"x": "> 18"}} for name in "ab"))
    gate.read({"x": 19.0})
    assert "gate passed" in str(gate.ended(10))
    gate.advance(10)
    assert gate.ended(11) is None
    again = schedule(*({"name": name, "steps": 100, "reach": {"x": "> 18"}} for name in "ab"))
    again.restore(json.loads(json.dumps(gate.state())))
    assert again.ended(11) is None
    assert again.read({"x": 19.0}) is False and "gate passed" in str(again.ended(12))


def test_a_budget_that_ends_a_phase_says_what_was_missing() -> None:
    gate = schedule({"name": "a", "steps": 5, "reach": {"x": ">= 15", "y": "<= 1"}})
    gate.read({"x": float("nan"), "y": 0.0})
    assert gate.ended(4) is None
    assert "x >= 15 (is nan)" in str(gate.ended(5))
    assert not holds(">= 0", float("nan")) and holds("<= -1e-3", -0.5)


@pytest.mark.parametrize(
    ("phase", "reported"),
    [
        ({"name": "a", "steps": 3, "settings": {"lambda_pg": 1}}, "phase a: .*lambda_gp"),
        ({"name": "a", "steps": 3, "settings": {"lr_g": -1}}, "lr_g"),
        ({"name": "a", "steps": 3, "reach": {"x": "15"}}, "'15' is not a condition"),
        ({"name": "a", "steps": 3, "settings": {"size": 32}}, "data.size cannot change within a run"),
        ({"name": "a", "steps": 3, "settings": {"train.precision": "bf16-mixed"}}, "cannot change within a run"),
        ({"name": "a", "steps": 3, "plateau": 3}, "needs `metric`"),
        ({"name": "a", "steps": 0}, "steps"),
        ({"name": "a b", "steps": 1}, "phases"),
    ],
)
def test_a_mistake_is_named_before_anything_is_trained(phase: dict, reported: str) -> None:
    with pytest.raises(UserError, match=reported):
        registry.load("wgan_gp/tiny", words([phase]))


def test_two_phases_of_one_name_are_refused() -> None:
    with pytest.raises(UserError, match="same name"):
        registry.load("wgan_gp/tiny", words([TWO[0], TWO[0]]))


def test_phases_can_be_changed_in_a_running_run(quick, tmp_path: Path) -> None:
    """A longer last phase, another weight in it: both take effect on resume."""
    quick("wgan_gp/tiny", *words(TWO), run=tmp_path / "run")
    longer = [TWO[0], {"name": "two", "steps": 5, "settings": {"lambda_gp": 3.0}}]
    outcome = quick("wgan_gp/tiny", *words(longer), run=tmp_path / "run")
    assert (outcome.status, outcome.step) == ("finished", 8)
    assert signals(Run(tmp_path / "run"))[-1]["weight/critic/penalty"] == 3.0


def test_every_shipped_phase_is_sound(sprites) -> None:
    found = [t for t in registry.recipes() if quick_config(t, sprites)[1].phases]
    for title in found:
        config = registry.load(title)[1]
        assert all(isinstance(p, Phase) for p in config.phases)
        assert config.train.steps is None, "a length beside phases would cut them off"

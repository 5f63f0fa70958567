"""Cause tests: short forks from a checkpoint that decide between causes where the evidence of a run does not.

A family lists its tests in ``cause_tests.yaml``: the change, the signal that is compared, and the causes that each answer confirms or
rules out. Two forks of a few hundred steps are trained from the same checkpoint, one with the change and one without.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, JsonValue

from trainwright.config.base import Config, flatten, setting
from trainwright.config.reading import read_yaml
from trainwright.diagnosis.history import History
from trainwright.engine import checkpoint as checkpoints
from trainwright.engine.config import RunConfig
from trainwright.engine.display import Silent
from trainwright.engine.family import Family
from trainwright.engine.session import read_config, train
from trainwright.errors import UserError, nearest
from trainwright.playbooks.remedy import concrete
from trainwright.runs.folder import Run
from trainwright.studies.jobs import changed, fork

STEPS = 200
VALIDATIONS = 5


class CauseTest(Config):
    """Configuration of one test: a question that two short forks answer."""

    name: str = setting(..., "Unique in its file.", pattern=r"^[a-z][a-z0-9_]*$")
    symptoms: tuple[str, ...] = Field(..., alias="for", strict=False)
    question: str = setting(..., "Question that the test answers.", min_length=10)
    change: dict[str, JsonValue] = setting(..., "Setting to value, as in a playbook.", min_length=1)
    signal: str = setting(..., "Signal that is compared; `PREFIX/*` is the lowest of all signals with that prefix.")
    expect: Literal["rises", "falls"] = setting(..., "Change of the signal if the causes are right.")
    factor: float = setting(2.0, "Least ratio to the fork without the change.", gt=1)
    confirms: tuple[str, ...] = Field((), strict=False)
    rules_out: tuple[str, ...] = Field((), strict=False)


@dataclass(frozen=True)
class Answer:
    """Result of a test: medians of the signal over the second half of both forks."""

    test: CauseTest
    without: float
    with_change: float
    yes: bool
    steps: int

    def sentence(self) -> str:
        """Return the result as a sentence."""
        e = self.test
        change = ", ".join(f"{k}={v}" for k, v in e.change.items())
        reported = f"{e.signal} is {self.with_change:.3g} with {change} and {self.without:.3g} without"
        return f"{e.question} {'Yes' if self.yes else 'No'}: after {self.steps} steps {reported}."

    def as_dict(self) -> dict[str, Any]:
        """Return the result for the run's events, from which the doctor reads ``confirmed`` and ``ruled_out``."""
        e = self.test
        return {
            "experiment": e.name,
            "question": e.question,
            "answer": self.yes,
            "without": self.without,
            "with_change": self.with_change,
            "steps": self.steps,
            "confirmed": list(e.confirms) if self.yes else [],
            "ruled_out": list(e.rules_out) if self.yes else [],
            "doubtful": []
            if self.yes
            else list(e.confirms),  # a fork can be too short to show an effect, so "no" does not rule out
        }


def cause_tests(family: Family) -> tuple[CauseTest, ...]:
    """Return the family's tests in the order of its file."""
    file = Path(str(files(family.home) / "cause_tests.yaml"))
    if not file.exists():
        return ()
    entries = json.loads(json.dumps(read_yaml(file)["experiments"]))
    return tuple(CauseTest.model_validate(entry) for entry in entries)


def choose(family: Family, symptom: str, name: str | None) -> list[CauseTest]:
    """Return the tests for a symptom, or the one with this name.

    Raises:
        UserError: there is no test of this name.
    """
    known = cause_tests(family)
    if name is not None:
        found = [e for e in known if e.name == name]
        if not found:
            raise UserError(f"{family.name} has no cause test {name!r}.{nearest(name, [e.name for e in known])}")
        return found
    return [e for e in known if symptom in e.symptoms]


def ask(
    family: Family,
    run: Run,
    test: CauseTest,
    steps: int = STEPS,
    note: Callable[[str], None] = lambda text: None,
) -> Answer:
    """Train both forks and compare them.

    Args:
        family: of the run.
        run: the run to fork; it must have a checkpoint and not be in use.
        test: the change and the signal to compare.
        steps: length of each fork.
        note: called with a line on the progress.

    Raises:
        UserError: the run has no checkpoint, or the signal was not recorded.
    """
    config = read_config(family, run)
    newest, _ = checkpoints.find(run.checkpoints)
    if newest is None:
        raise UserError(f"{run.folder} has no checkpoint to fork from.")
    values = {}
    for name, change in (("without", {}), ("with", test.change)):
        note(f"{test.name}: {steps} steps {name} the change from step {newest.step}")
        child = Run(run.folder / "experiments" / test.name / name)
        forked = _config(config, change, newest.step + steps, max(1, steps // VALIDATIONS), family)
        fork(child, run, newest.folder.name, forked)
        child.update(parent=str(run.folder), change=dict(test.change), hypothesis=test.question)
        outcome = train(family, forked, child, Silent())
        values[name] = float("nan") if outcome.status == "crashed" else _level(test, child, newest.step + steps // 2)
    without, changed = values["without"], values["with"]
    if np.isnan(changed) and np.isnan(without):
        raise UserError(f"cause test {test.name}: signal {test.signal} was not recorded in {steps} steps.")
    low, high = (without, changed) if test.expect == "rises" else (changed, without)
    yes = bool(np.nan_to_num(high, nan=-np.inf) > test.factor * max(np.nan_to_num(low, nan=0.0), 1e-9))
    answer = Answer(test, without, changed, yes, steps)
    run.event("cause_test", newest.step, **_plain(answer.as_dict()))
    return answer


def changes_anything(family: Family, run: Run, test: CauseTest) -> bool:
    """Return whether the run's settings differ from those of the test."""
    flat = flatten(read_config(family, run))
    return any(flat[path] != value for path, value in concrete(test.change, flat, test.name).items())


def _config(config: RunConfig, change: Mapping[str, Any], end: int, every: int, family: Family) -> RunConfig:
    new = concrete(change, flatten(config), "cause test") if change else {}
    new |= {
        "train.steps": end, "train.validate_every": every, "train.sample_every": 10**9, "train.checkpoint_every": 10**9,
        "train.on_failure": "continue", "train.on_nonfinite": "stop", "train.tracker": "none", "train.log_every": every,
        "train.probe_stride": 1,
        "train.plateau.early_stopping_patience": None, "train.plateau.reduce_lr_patience": None,
    }  # fmt: skip
    return changed(family, config, new, "cause test")


def _level(test: CauseTest, run: Run, after: int) -> float:
    history = History.of(run.rows())
    if test.signal.endswith("/*"):
        found = [s.after(after) for _, s in history.match(test.signal[:-1])]
        values = [float(np.median(s.values)) for s in found if len(s)]
        return min(values) if values else float("nan")
    series = history.get(test.signal)
    part = series.after(after) if series is not None else None
    return float(np.median(part.values)) if part is not None and len(part) else float("nan")


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {k: (None if isinstance(v, float) and not np.isfinite(v) else v) for k, v in values.items()}

"""Five methods to repair a broken recipe, each a source of experiments with the same budget of training steps."""

import random
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from trainwright.engine.config import RunConfig
from trainwright.engine.family import Family
from trainwright.playbooks.remedy import Remedy, playbook
from trainwright.studies.jobs import Job, Result
from trainwright.studies.search import Range, Search, SearchFile
from trainwright.studies.treatment import Limits, Treatment

EXPLORED = 5  # remedies that a pilot tries side by side, each from the broken run
METHODS = ("treatment", "shuffled", "fixed_order", "random", "tpe_hyperband")


def treatment(family: Family, config: RunConfig, runs: Path, steps: int, order: Any = None) -> Treatment:
    """Return Trainwright's treatment."""
    return Treatment(family, config, runs, Limits(attempts=50, steps=steps), order=order)


def shuffled(family: Family, config: RunConfig, runs: Path, steps: int, seed: int) -> Treatment:
    """Return the same loop with remedies drawn at random from the whole playbook, regardless of findings."""
    draw = random.Random(seed)
    deck = [remedy for remedy in playbook(family.name) if remedy.change and remedy.symptoms]
    draw.shuffle(deck)
    return treatment(family, config, runs, steps, lambda name, result: deck)


def fixed_order(family: Family, config: RunConfig, runs: Path, steps: int) -> Treatment:
    """Return a loop with the remedies of the family's guide in its own order, each from scratch as in AutoTrainer."""

    def order(name: str, result: Result) -> list[Remedy]:
        guide = [
            r for r in playbook(name) if r.playbook == name and set(r.symptoms) & set(result.symptoms[:1]) and r.change
        ]
        return [r.model_copy(update={"apply": "restart"}) for r in guide]

    return treatment(family, config, runs, steps, order)


def search(
    family: Family, config: RunConfig, runs: Path, steps: int, space: Mapping[str, Any], sampler: str, seed: int
) -> "Sought":
    """Return a search of random full trials, or TPE with Hyperband; neither uses the doctor."""
    length = int(config.train.steps or 0)
    head = SearchFile.model_validate(
        {
            "title": sampler,
            "recipe": config.recipe,
            "space": space,
            "sampler": sampler,
            "pruner": "hyperband" if sampler == "tpe" else "none",
            "trials": 1000,
            "steps": length,
            "seed": seed,
            "doctor": False,
            "budget": {"steps": steps - length + 1},
        }
    )
    before = {name: Range.model_validate(r) for name, r in space.items()}
    return Sought(head.model_copy(update={"space": before}), family, config, runs)


class Sought(Search):
    """A search that measures each full trial, records the steps so far, and ends with the first good enough trial."""

    bar = float("inf")
    measure: Callable[[Path], dict[str, float]]

    def next(self) -> Job | None:
        """Return the next job, or None once a trial is good enough."""
        good = any(t["truth"]["quality"] >= self.bar for t in self.measured)
        return None if good else super().next()

    def ended(self, job: Job, result: Result) -> None:
        """Measure a trial that is complete."""
        super().ended(job, result)
        trial = self._by_job[job.name]
        if trial.outcome == "complete":
            truth = self.measure(Path(job.folder))
            self.measured.append({"taken": self.spent["steps"], "change": trial.change, "truth": truth})

    @cached_property
    def measured(self) -> list[dict[str, Any]]:
        """Return full trials in order."""
        return []


def make(
    method: str, family: Family, config: RunConfig, runs: Path, steps: int, space: Mapping[str, Any], seed: int
) -> Any:
    """Return the source of a method."""
    made: dict[str, Callable[[], Any]] = {
        "explore": lambda: Treatment(family, config, runs, Limits(attempts=EXPLORED), breadth=EXPLORED),
        "treatment": lambda: treatment(family, config, runs, steps),
        "shuffled": lambda: shuffled(family, config, runs, steps, seed),
        "fixed_order": lambda: fixed_order(family, config, runs, steps),
        "random": lambda: search(family, config, runs, steps, space, "random", seed),
        "tpe_hyperband": lambda: search(family, config, runs, steps, space, "tpe", seed),
    }
    return made[method]()

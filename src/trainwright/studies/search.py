"""A search over settings with Optuna. The doctor prunes: a sick trial stops early and is infeasible, with its cause.

A trial is a run that is trained from rung to rung, each three times as long. After each rung, Optuna's pruner stops it or lets it
continue. The journal holds every trial's settings, so that an interrupted search resumes the same trials from their checkpoints.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, model_validator

from trainwright import catalog as registry
from trainwright.config.base import Config, flatten, setting
from trainwright.config.names import resolve
from trainwright.config.reading import plain, read_yaml
from trainwright.engine.config import RunConfig
from trainwright.engine.family import Family
from trainwright.errors import UserError
from trainwright.studies.jobs import Job, Result, changed
from trainwright.studies.plan import Budget, validated, words

REDUCTION = 3  # Hyperband's and ASHA's factor between rungs (Li et al. 2018, 2020)
RUNGS = 3
EDGE = 0.05  # share of a range: a best value nearer to an end shows that the range is too narrow (Tuning Playbook)


class Range(Config):
    """Range of a setting: numbers from ``low`` to ``high`` (whole ones if both are), or one of ``choices``."""

    low: float | int | None = setting(None, "Least value.")
    high: float | int | None = setting(None, "Greatest value.")
    log: bool = setting(False, "Draw the logarithm uniformly.")
    choices: Annotated[tuple[JsonValue, ...] | None, Field(strict=False)] = None

    @model_validator(mode="after")
    def _one_or_the_other(self) -> "Range":
        if (self.choices is None) == (self.low is None or self.high is None):
            raise ValueError("give either low and high, or choices")
        if self.choices is not None and len(self.choices) < 2:
            raise ValueError("give at least two choices")
        if self.low is not None and self.high is not None and (self.low >= self.high or (self.log and self.low <= 0)):
            raise ValueError("low must be below high, and above 0 for log")
        return self


class SearchObjective(Config):
    """Objective of a search: ``score`` (quality from 0 to 1) or a signal's level at the end."""

    signal: str = setting("score", "`score` or a signal.")
    direction: Literal["maximize", "minimize"] = setting("maximize", "Direction of improvement.")
    shorthand = "signal"


class SearchFile(Config):
    """A search as its file states it."""

    title: str = setting(..., "Title in one line.")
    recipe: str = setting(..., "Recipe whose settings are searched.")
    settings: dict[str, JsonValue] = setting({}, "Settings of every trial.")
    space: dict[str, Range] = setting(..., "Setting to range.", min_length=1)
    objectives: Annotated[tuple[SearchObjective, ...], Field(strict=False, min_length=1)] = (SearchObjective(),)
    sampler: Literal["tpe", "random"] = setting(
        "tpe", "`tpe`: tree-structured Parzen estimator (Bergstra et al. 2011); `random`: independent draws."
    )
    pruner: Literal["hyperband", "asha", "none"] = setting(
        "hyperband", "Method that stops trials at a rung, in addition to the doctor."
    )
    doctor: bool = setting(True, "Stop sick trials and mark them infeasible; false: use the objectives alone.")
    trials: int = setting(20, "Greatest number of trials.", ge=1)
    steps: int | None = setting(None, "Length of a trial in steps; by default the recipe's.", ge=1)
    seed: int = setting(0, "Seed of the sampler; every trial trains with the recipe's own seed.", ge=0)
    budget: Budget = Budget()

    @model_validator(mode="after")
    def _several_objectives(self) -> "SearchFile":
        if len(self.objectives) > 1 and self.pruner != "none":
            raise ValueError("with several objectives no trial can be pruned at a rung: set pruner: none")
        return self


@dataclass
class Trial:
    """A trial: Optuna's handle, its settings, its rung and its outcome."""

    handle: Any
    name: str
    change: dict[str, Any]
    rung: int = 0
    results: list[Result] = field(default_factory=list)
    outcome: str = ""
    because: str = ""
    values: tuple[float, ...] = ()


class Search:
    """A search as a source of experiments.

    Args:
        head: the search file's contents.
        family: of the recipe.
        base: config of every trial except for the searched settings.
        runs: folder for the run folders.
        before: settings of trials that an earlier call started, in order.

    Raises:
        UserError: Optuna is not installed.
    """

    def __init__(
        self, head: SearchFile, family: Family, base: RunConfig, runs: Path, before: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        try:
            import optuna
        except ImportError:
            raise UserError("search needs Optuna: pip install 'trainwright[search]'.") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self.head, self.family, self.base, self.runs = head, family, base, runs
        length = head.steps or base.train.steps
        if length is None:
            raise UserError("search: give `steps`, the length of a trial; the recipe's is in epochs.")
        self.length = int(length)
        single = head.pruner == "none"
        self.rungs = [self.length] if single else _rungs(self.length, base.train.validate_every)
        self.study = optuna.create_study(
            directions=[o.direction for o in head.objectives],
            study_name=head.title,  # Hyperband assigns trials to its brackets by this name
            pruner=_pruner(optuna, head, self.rungs),
        )
        for change in before:
            self.study.enqueue_trial(dict(change))
        self.trials: list[Trial] = []
        self._waiting: list[Trial] = []
        self._by_job: dict[str, Trial] = {}
        self.spent = {"steps": 0, "seconds": 0.0}

    # ---- a source of experiments -------------------------------------------------------------------------------------

    def next(self) -> Job | None:
        """Return the next rung of a trial that continues, else a new trial."""
        if self._waiting:
            return self._job(self._waiting.pop(0))
        if len(self.trials) >= self.head.trials or self._out_of_budget():
            return None
        self.study.sampler = _sampler(self._optuna, self.head, len(self.trials))
        handle = self.study.ask()
        change = {name: _suggest(handle, name, r) for name, r in self.head.space.items()}
        trial = Trial(handle, f"t{handle.number:04}", change)
        self.trials.append(trial)
        return self._job(trial)

    def ended(self, job: Job, result: Result) -> None:
        """Report the result to Optuna; a trial that may continue is queued for its next rung."""
        trial = self._by_job[job.name]
        self.spent["steps"] += result.trained - sum(r.trained for r in trial.results[-1:])
        self.spent["seconds"] += result.seconds - sum(r.seconds for r in trial.results[-1:])
        trial.results.append(result)
        values = tuple(self._value(result, o.signal) for o in self.head.objectives)
        sick = self.head.doctor and result.verdict in ("sick", "crashed")
        if result.status not in ("finished", "paused") or sick:
            self._infeasible(trial, result)
        elif trial.rung + 1 < len(self.rungs):
            known = not math.isnan(values[0])  # a trial without a measurement so far is not pruned
            if known:
                trial.handle.report(values[0], self.rungs[trial.rung])
            if known and trial.handle.should_prune():
                self.study.tell(trial.handle, state=self._optuna.trial.TrialState.PRUNED)
                trial.outcome, trial.values = "pruned", values
                trial.because = f"{values[0]:.3g} after {result.step} steps: other trials were better at that step"
            else:
                trial.rung += 1
                self._waiting.append(trial)
        elif any(math.isnan(v) for v in values):
            self._infeasible(trial, result, "nothing was measured")
        else:
            self.study.tell(trial.handle, list(values))
            trial.outcome, trial.values = "complete", values

    # ---- outcomes ----------------------------------------------------------------------------------------------------

    def best(self) -> list[Trial]:
        """Return the best trial, or with several objectives the Pareto front."""
        done = {t.handle.number: t for t in self.trials if t.outcome == "complete"}
        return [done[t.number] for t in self.study.best_trials if t.number in done] if done else []

    def at_the_edge(self, trial: Trial) -> list[str]:
        """Return settings whose value lies at an end of the range, so that the range should be widened first."""
        found = []
        for name, r in self.head.space.items():
            if r.low is None or r.high is None:
                continue
            low, high, value = ((math.log(v) if r.log else v) for v in (r.low, r.high, trial.change[name]))
            if min(value - low, high - value) < EDGE * (high - low):
                found.append(name)
        return found

    # ---- within ------------------------------------------------------------------------------------------------------

    def _infeasible(self, trial: Trial, result: Result, why: str = "") -> None:
        named = result.symptoms[0] if result.symptoms else result.status
        cause = f" ({result.causes[0]})" if result.causes else ""
        trial.outcome, trial.because = "infeasible", why or f"{named}{cause}: {result.reason}"
        trial.handle.set_user_attr("infeasible", trial.because)
        trial.handle.set_constraint("sick", 1.0)
        self.study.tell(trial.handle, state=self._optuna.trial.TrialState.PRUNED)

    def _out_of_budget(self) -> bool:
        b = self.head.budget
        return (
            (b.runs is not None and len(self.trials) >= b.runs)
            or (b.steps is not None and self.spent["steps"] >= b.steps)
            or (b.hours is not None and self.spent["seconds"] >= b.hours * 3600)
        )

    def _value(self, result: Result, signal: str) -> float:
        found = result.score if signal == "score" else result.levels.get(signal)
        return math.nan if found is None else float(found)

    def _job(self, trial: Trial) -> Job:
        steps = {"train.steps": self.length, "train.on_failure": "stop" if self.head.doctor else "continue"}
        config = changed(self.family, self.base, {**trial.change, **steps}, trial.name)
        name = trial.name if len(self.rungs) == 1 else f"{trial.name}-rung{trial.rung + 1}"
        self._by_job[name] = trial
        return Job(
            name, str(self.runs / trial.name), self.family.name, config.model_dump(mode="json"), change=trial.change,
            hypothesis=f"trial {trial.handle.number}, {self.rungs[trial.rung]} of {self.length} steps",
            until=self.rungs[trial.rung] if trial.rung + 1 < len(self.rungs) else None,
        )  # fmt: skip


def load(file: Path, overrides: Sequence[str] = ()) -> tuple[SearchFile, Family, RunConfig]:
    """Read and check a search file.

    Raises:
        UserError: an error in the file, before anything is trained.
    """
    mapping = read_yaml(file)
    head = validated(SearchFile, plain(mapping), mapping, str(file))
    family, base = registry.load(head.recipe, [*words(head.settings), *overrides])
    space = {".".join(resolve(family.config, name, f"{file}: space")): r for name, r in head.space.items()}
    flat = flatten(base)
    for name, r in space.items():
        for value in r.choices if r.choices is not None else (r.low, r.high):
            changed(family, base, {name: _fitting(value, flat[name])}, f"{file}: space")
    return head.model_copy(update={"space": space}), family, base


def started(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the settings of each trial in a journal, in order."""
    found: dict[str, Mapping[str, Any]] = {}
    for event in events:
        if event["event"] == "started":
            found.setdefault(event["experiment"].partition("-")[0], event["change"])
    return [found[name] for name in sorted(found)]


def _rungs(length: int, validate_every: int) -> list[int]:
    """Return a ninth, a third and all of the length; all but the last are rounded to a validation step."""
    parts = [length // REDUCTION**i for i in range(RUNGS - 1, 0, -1)]
    rounded = [max(1, round(part / validate_every)) * validate_every for part in parts]
    return [*sorted({step for step in rounded if step < length}), length]


def _fitting(value: Any, current: Any) -> Any:
    return float(value) if isinstance(current, float) and isinstance(value, int) else value


def _suggest(handle: Any, name: str, r: Range) -> Any:
    if r.choices is not None:
        return handle.suggest_categorical(name, list(r.choices))
    if isinstance(r.low, int) and isinstance(r.high, int):
        return handle.suggest_int(name, r.low, r.high, log=r.log)
    return handle.suggest_float(name, float(r.low or 0.0), float(r.high or 0.0), log=r.log)


def _sampler(optuna: Any, head: SearchFile, number: int) -> Any:
    """Return a sampler for each trial, seeded by its number, so that a resumed search does not repeat draws."""
    seed = (head.seed * 1_000_003 + number) % 2**32
    if head.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed)


def _pruner(optuna: Any, head: SearchFile, rungs: Sequence[int]) -> Any:
    if head.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(rungs[0], rungs[-1], REDUCTION)
    if head.pruner == "asha":
        return optuna.pruners.SuccessiveHalvingPruner(rungs[0], REDUCTION)
    return optuna.pruners.NopPruner()

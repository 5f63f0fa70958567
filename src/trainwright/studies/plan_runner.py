"""Execution of a plan as a source of experiments: order, skipped experiments with reasons, and hypotheses judged."""

from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from trainwright.diagnosis.doctor import SEVERITY
from trainwright.engine import checkpoint as checkpoints
from trainwright.engine.config import RunConfig
from trainwright.runs.folder import Run
from trainwright.studies.conditions import Undecided
from trainwright.studies.jobs import Job, Result, changed
from trainwright.studies.plan import Experiment, Plan


@dataclass
class ExperimentState:
    """State of one experiment of a plan: the result of each seed, or the reason why it was skipped."""

    experiment: Experiment
    results: dict[int, Result] = field(default_factory=dict)
    skipped: str | None = None
    left: int = 0

    @property
    def over(self) -> bool:
        """True if no further result will come."""
        return self.skipped is not None or self.left == 0

    @property
    def result(self) -> Result | None:
        """The results of all seeds combined; None if it was skipped."""
        return together([self.results[seed] for seed in sorted(self.results)]) if self.results else None


class PlanRunner:
    """Yields the experiments of a plan in order, each as soon as those that it needs are over.

    Args:
        plan: a checked plan.
        runs: folder for the run folders.
    """

    def __init__(self, plan: Plan, runs: Path) -> None:
        self.plan, self.runs = plan, runs
        seeds = len(plan.head.seeds)
        self.states = {e.name: ExperimentState(e, left=seeds) for e in plan.experiments}
        self._waits = {e.name: len(e.needs) for e in plan.experiments}
        self._dependents: dict[str, list[str]] = defaultdict(list)
        for e in plan.experiments:
            for name in e.needs:
                self._dependents[name].append(e.name)
        self._ready: deque[tuple[str, int]] = deque()
        self._seeds: dict[str, tuple[str, int]] = {}
        self._spent = {"runs": 0, "steps": 0, "seconds": 0.0}
        self.stopped: str | None = None
        for e in plan.experiments:
            if not e.needs:
                self._open(e.name)

    # ---- a source of experiments -------------------------------------------------------------------------------------

    def next(self) -> Job | None:
        """Return the next experiment that can start, or None."""
        while self._ready and self.stopped is None:
            self.stopped = self._out_of_budget()
            if self.stopped is not None:
                return None
            name, seed = self._ready.popleft()
            job = self._job(self.states[name].experiment, seed)
            if job is None:
                self._skip(name, seed)
                continue
            self._spent["runs"] += 1
            self._seeds[job.name] = (name, seed)
            return job
        return None

    def ended(self, job: Job, result: Result) -> None:
        """Store the result and release experiments that waited for it."""
        name, seed = self._seeds[job.name]
        state = self.states[name]
        state.results[seed] = result
        state.left -= 1
        self._spent["steps"] += result.trained
        self._spent["seconds"] += result.seconds
        if state.over:
            self._settle(name)
            self._check_stop_rule()

    # ---- outcomes ----------------------------------------------------------------------------------------------------

    def outcome(self, name: str) -> tuple[str, str]:
        """Return (``supported``, ``contradicted``, ``undecided`` or ``not run``, why) for an experiment's hypothesis."""
        state = self.states[name]
        if not state.results:
            return "not run", state.skipped or self.stopped or "the plan is not over"
        if state.experiment.expect is None:
            return "undecided", "the plan has no condition for the hypothesis"
        counts, reasons = Counter[str](), []
        for seed in sorted(state.results):  # in a fixed order, so that the text does not depend on timing
            shown = {n: s.results.get(seed) for n, s in self.states.items()}
            try:
                counts["supported" if state.experiment.expect.holds(shown) else "contradicted"] += 1
            except Undecided as error:
                counts["undecided"] += 1
                reasons.append(str(error))
        if len(counts) == 1:
            return next(iter(counts)), reasons[0] if reasons else ""
        words = [word for word in ("supported", "contradicted", "undecided") if word in counts]
        reported = ", ".join(f"{counts[word]} of {sum(counts.values())} {word}" for word in words)
        return "undecided", f"the seeds disagree: {reported}"

    # ---- within ------------------------------------------------------------------------------------------------------

    def _open(self, name: str) -> None:
        """Run or skip an experiment whose needed experiments are over."""
        e = self.states[name].experiment
        reason = None
        if e.entry.parent is not None and self.states[e.entry.parent].result is None:
            reason = f"{e.entry.parent} was not run"
        elif e.when is not None:
            try:
                if not e.when.holds({n: self.states[n].result for n in e.when.names}):
                    reason = f"condition not met: {e.when.text}"
            except Undecided as error:
                reason = f"cannot be decided: {error}"
        if reason is None:
            self._ready.extend((name, seed) for seed in self.plan.head.seeds)
        else:
            self.states[name].skipped = reason
            self._settle(name)

    def _skip(self, name: str, seed: int) -> None:
        """Drop a seed that cannot be forked; without any seed the experiment is skipped."""
        state = self.states[name]
        state.left -= 1
        if state.left == 0 and not state.results:
            e = state.experiment.entry
            state.skipped = f"{e.parent} has no {'healthy ' if e.begin == 'healthy' else ''}checkpoint to fork from"
        if state.over:
            self._settle(name)
            self._check_stop_rule()

    def _settle(self, name: str) -> None:
        for other in self._dependents[name]:
            self._waits[other] -= 1
            if self._waits[other] == 0:
                self._open(other)

    def _check_stop_rule(self) -> None:
        rule = self.plan.stop_when
        if rule is None:
            return
        try:
            if rule.holds({n: s.result for n, s in self.states.items() if s.over}):
                self.stopped = f"the plan's stop rule holds: {rule.text}"
        except Undecided:
            return

    def _out_of_budget(self) -> str | None:
        budget = self.plan.head.budget
        limits = (
            ("runs", budget.runs, "runs"),
            ("steps", budget.steps, "steps"),
            ("seconds", budget.hours and budget.hours * 3600, "hours"),
        )
        for what, limit, word in limits:
            if limit is not None and self._spent[what] >= limit:
                return f"the budget of {word} is spent"
        return None

    def _job(self, e: Experiment, seed: int) -> Job | None:
        """Return the run of a seed; None if it should fork and there is no checkpoint to fork from."""
        name = e.name if len(self.plan.head.seeds) == 1 else f"{e.name}-s{seed}"
        config, parent, start = _seeded(e.config, seed), None, None
        if e.entry.parent is not None:
            parent = self.runs / (e.entry.parent if name == e.name else f"{e.entry.parent}-s{seed}")
        if parent is not None and e.entry.begin != "start":
            before = self.states[str(e.entry.parent)].results.get(seed)
            found = before and _checkpoint(Run(parent), before, e.entry.begin)
            if not found:
                return None
            start, step = found
            if e.entry.steps:
                config = changed(self.plan.family, config, {"train.steps": step + e.entry.steps}, e.name)
        return Job(
            name,
            str(self.runs / name),
            self.plan.family.name,
            config.model_dump(mode="json"),
            str(parent) if parent else None,
            start,
            e.change,
            e.entry.hypothesis,
            e.entry.expect or "",
        )


def _seeded(config: RunConfig, seed: int) -> RunConfig:
    return config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})


def last_healthy(run: Run, onset: float | None) -> tuple[str, int] | None:
    """Return (name, step) of the newest healthy checkpoint up to ``onset``; None if there is none."""
    found = [c for c in checkpoints.good(run.checkpoints) if c.state.get("healthy", False)]
    before = [c for c in found if onset is None or c.step <= onset]
    return (before[0].folder.name, before[0].step) if before else None


def _checkpoint(run: Run, result: Result, begin: str) -> tuple[str, int] | None:
    if begin == "healthy":
        return last_healthy(run, result.onset)
    newest, _ = checkpoints.find(run.checkpoints)
    return (newest.folder.name, newest.step) if newest else None


def together(results: Sequence[Result]) -> Result:
    """Several seeds as one: medians of numbers, the most frequent verdict (of equals the worse), symptoms of at least half."""
    if len(results) == 1:
        return results[0]
    verdicts = Counter(r.verdict for r in results)
    verdict = max(verdicts, key=lambda v: (verdicts[v], SEVERITY.get(v, 0)))
    statuses = Counter(r.status for r in results)
    return Result(
        status=statuses.most_common(1)[0][0],
        verdict=verdict,
        reason=next(r.reason for r in results if r.verdict == verdict),
        step=int(median(r.step for r in results)),
        trained=sum(r.trained for r in results),
        symptoms=_in_half([r.symptoms for r in results]),
        causes=_in_half([r.causes for r in results]),
        onset=_median([r.onset for r in results]),
        score=_median([r.score for r in results]),
        parts=_medians([r.parts for r in results]),
        levels=_medians([r.levels for r in results]),
        seconds=sum(r.seconds for r in results),
        speed=_median([r.speed for r in results]),
    )


def _in_half(names: Sequence[Sequence[str]]) -> tuple[str, ...]:
    counts = Counter(name for one in names for name in one)
    return tuple(name for name, count in counts.most_common() if 2 * count >= len(names))


def _median(values: Sequence[float | None]) -> float | None:
    found = [v for v in values if v is not None]
    return median(found) if found else None


def _medians(values: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    names = {name: None for one in values for name in one}
    return {
        n: median([one[n] for one in values if one.get(n) is not None])
        for n in names
        if any(one.get(n) is not None for one in values)
    }

"""The treatment loop: train, diagnose, apply one remedy to a child run, judge its quality, keep or revert.

The loop repeats until a run finishes without alarms, or until remedies or budget run out. A child is forked from the last healthy
checkpoint if that had learned something and the remedy is hot, else it starts from scratch. A child is kept if it finishes
without alarms, or is clearly better than its parent at the same step. At the end the best run is trained to its full length.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainwright.config.base import flatten
from trainwright.config.writing import diff
from trainwright.diagnosis.input import open_input
from trainwright.engine import checkpoint as checkpoints
from trainwright.engine.config import RunConfig
from trainwright.engine.family import Family
from trainwright.errors import UserError
from trainwright.playbooks.remedy import Remedy, apply, remedies_for
from trainwright.runs.folder import Run
from trainwright.studies.jobs import Job, Result, changed, config_of
from trainwright.studies.plan_runner import last_healthy
from trainwright.studies.quality import Quality, quality

ENOUGH = 0.3  # of real data's score: from here on a run without alarms need not be better than its parent; our choice
LEARNED = 0.1  # least quality of a checkpoint from which a child is forked; our choice
FARTHER = 1.5  # times the parent's steps without its symptom: that symptom has been fixed; our choice
LENGTH = ("train.steps", "train.epochs")  # a remedy that only trains longer cannot be compared at equal steps
CHECKPOINTS = 20  # least number of checkpoints in a run


@dataclass(frozen=True)
class Limits:
    """Limits after which no further remedy is tried; the best run is still finished.

    Attributes:
        attempts: number of remedies, each in a child run.
        steps: steps of all runs together, including those that finishing the best run takes.
        seconds: training time of all runs together, likewise.
    """

    attempts: int = 8
    steps: float = math.inf
    seconds: float = math.inf


@dataclass
class Attempt:
    """One run of a treatment: the reason for it (``why``), and once judged, if it was ``kept`` and why (``because``)."""

    job: Job
    remedy: Remedy | None
    why: str
    result: Result | None = None
    kept: bool | None = None
    because: str = ""


class Treatment:
    """A treatment as a source of experiments.

    Args:
        family: of the config.
        config: the config to treat.
        runs: folder for the run folders.
        limits: limits of the treatment.
        breadth: number of remedies tried at the same time; the first in the order that helps is kept.
        order: returns the remedies for a result in the order of trying; by default :func:`candidates`.
        reported: called with each judged attempt.
    """

    def __init__(
        self,
        family: Family,
        config: RunConfig,
        runs: Path,
        limits: Limits | None = None,
        breadth: int = 1,
        order: Callable[[str, Result], list[Remedy]] | None = None,
        reported: Callable[[Attempt], None] = lambda attempt: None,
    ) -> None:
        self.family, self.runs, self.limits = family, runs, limits or Limits()
        self.breadth, self.reported, self._order = breadth, reported, order or candidates
        self.attempts: list[Attempt] = []
        self.current: Attempt | None = None
        self.recovered = False
        self.ending = ""
        self._round: list[Attempt] = []
        self._queue: deque[Attempt] = deque()
        self._tried: set[str] = set()
        self.total = 0
        first = changed(family, config, _monitored(config), config.recipe)
        self._tried.add(_identity(first))
        self._begin([self._attempt(0, first, None, "untreated", None)])

    # ---- a source of experiments -------------------------------------------------------------------------------------

    def next(self) -> Job | None:
        """Return the next run, or None."""
        return self._queue.popleft().job if self._queue else None

    def ended(self, job: Job, result: Result) -> None:
        """Store a result, and judge the round once all of its runs have ended."""
        attempt = next(a for a in self._round if a.job.name == job.name)
        attempt.result = result
        if all(a.result is not None for a in self._round):
            self._judge()

    @property
    def winner(self) -> Attempt:
        """The best run so far."""
        assert self.current is not None
        return self.current

    @property
    def trained(self) -> int:
        """Steps of all runs together."""
        return sum(a.result.trained for a in self.attempts if a.result is not None)

    # ---- judging -----------------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        done, self._round = self._round, []
        if self.ending:
            self._finished(done[0], self.winner)
            return
        if self.current is None:
            self.total = int(Run(Path(done[0].job.folder)).read().get("steps", 0))
            self._keep(done[0], "")
        else:
            self._choose(done, self.current)
        assert self.current is not None and self.current.result is not None
        if succeeded(self.current.result):
            self.recovered = True
            self._end("healthy")
        else:
            self._try_next(self.current, self.current.result)

    def _finished(self, final: Attempt, best: Attempt) -> None:
        """Judge the continuation of the best run to its full length."""
        assert final.result is not None
        end, before = self._quality(final), self._quality(best)
        if final.result.status != "finished":
            final.kept, final.because = False, f"it did not finish: {final.result.reason}"
        elif before.clearly_above(end):
            final.kept, final.because = False, f"quality fell to {_text(end)}, was {_text(before)}"
        else:
            self.recovered = succeeded(final.result)
            self._keep(final, "trained to its full length")
            return
        self.reported(final)

    def _choose(self, done: list[Attempt], parent: Attempt) -> None:
        """Keep the first run of a round that recovered, else the first that is better."""
        compared = [(a, *self._compare(a, parent)) for a in done]
        chosen = next((a for a, grade, _ in compared if grade == "recovered"), None)
        chosen = chosen or next((a for a, grade, _ in compared if grade == "better"), None)
        for attempt, _, because in compared:
            if attempt is chosen:
                self._keep(attempt, because)
            else:
                attempt.kept, attempt.because = False, because
                self.reported(attempt)

    def _compare(self, child: Attempt, parent: Attempt) -> tuple[str, str]:
        """Return (``recovered``, ``better`` or ``no better``, why) for a child compared with its parent."""
        assert child.result is not None and parent.result is not None
        after, before = child.result, parent.result
        if after.status == "failed":
            return "no better", f"it could not be trained: {after.reason}"
        if succeeded(after):
            end, stop = self._quality(child), self._quality(parent)
            if not end.parts or end.clearly_above(stop) or (end.score >= ENOUGH and not stop.clearly_above(end)):
                return (
                    "recovered",
                    f"no alarm to its end; quality {_text(end)}, was {_text(stop)} at step {before.step}",
                )
            return "no better", f"no alarm, but quality is {_text(end)} and was {_text(stop)} at step {before.step}"
        step = min(after.step, before.step)
        now, then = self._quality(child, step), self._quality(parent, step)
        if not then.parts:  # the parent was measured later only
            then = self._quality(parent)
        reported = f"quality {_text(now)} at step {step}, the parent's {_text(then)}"
        trouble = ", ".join(after.symptoms[:2]) or after.reason
        if now.clearly_above(then):
            return "better", f"better, not recovered ({trouble}): {reported}"
        other = not set(after.symptoms[:1]) & set(before.symptoms)
        if other and after.step >= FARTHER * before.step and not then.clearly_above(now):
            return (
                "better",
                f"{before.symptoms[0]} is fixed; {trouble} {after.step - before.step} steps later: {reported}",
            )
        return "no better", f"{trouble}: {reported}"

    def _quality(self, attempt: Attempt, step: float | None = None) -> Quality:
        return quality(self.family, open_input(Path(attempt.job.folder), {}).history, step)

    def _keep(self, attempt: Attempt, because: str) -> None:
        attempt.kept, attempt.because, self.current = True, because, attempt
        self.reported(attempt)

    # ---- next remedy -------------------------------------------------------------------------------------------------

    def _try_next(self, parent: Attempt, result: Result) -> None:
        if not result.symptoms:
            self._end(f"the doctor names no symptom ({result.reason})")
            return
        left = self.limits.attempts - (len(self.attempts) - 1)
        chosen: list[Attempt] = []
        for remedy, config in self._applicable(parent, result):
            if len(chosen) == min(self.breadth, left) or not self._affordable(parent, len(chosen) + 1):
                break
            self._tried.add(_identity(config))
            why = f"against {result.symptoms[0]}: {remedy.why}"
            chosen.append(self._attempt(len(self.attempts) + len(chosen), config, remedy, why, parent))
        if chosen:
            self._begin(chosen)
        elif left <= 0:
            self._end(f"{self.limits.attempts} remedies were tried")
        elif not self._affordable(parent, 1):
            self._end("the budget is spent")
        else:
            self._end(f"the playbook has no further remedy for {result.symptoms[0]}")

    def _applicable(self, parent: Attempt, result: Result) -> Iterator[tuple[Remedy, RunConfig]]:
        """Yield each remedy whose config was not tried yet, with that config."""
        config = config_of(self.family, parent.job.settings)
        facts = Run(Path(parent.job.folder)).read().get("facts", {})
        known = {f"fact.{k}": v for k, v in facts.items() if isinstance(v, int | float)}
        for remedy in self._order(self.family.name, result):
            try:
                values = apply(remedy, {**flatten(config), **known})
                made = changed(self.family, config, values, f"remedy {remedy.name}")
            except UserError:
                continue  # it is for other settings or invalid with these
            if not set(values) <= set(LENGTH) and _identity(made) not in self._tried:
                yield remedy, made

    def _affordable(self, parent: Attempt, more: int) -> bool:
        """Return whether ``more`` full runs, and finishing the parent if none of them is better, stay within the limits."""
        assert parent.result is not None
        rest = 0 if parent.result.status == "finished" else self.total - parent.result.step
        steps = self.trained + more * self.total + rest
        done = [a.result for a in self.attempts if a.result is not None and a.result.trained]
        seconds = sum(r.seconds for r in done) / max(1, sum(r.trained for r in done))
        return steps <= self.limits.steps and steps * seconds <= self.limits.seconds

    def _end(self, why: str) -> None:
        self.ending = why
        best = self.winner
        assert best.result is not None
        if best.result.status == "finished":
            return
        newest, _ = checkpoints.find(Run(Path(best.job.folder)).checkpoints)
        if newest is None:
            return
        config = changed(
            self.family, config_of(self.family, best.job.settings), {"train.on_failure": "continue"}, "final"
        )
        reason = f"the best run, to its full length ({why})"
        self._begin([self._attempt(len(self.attempts), config, None, reason, best, newest.folder.name)])

    def _fork_point(self, parent: Attempt) -> str | None:
        """Return the parent's last healthy checkpoint if it had learned something by then; None: start from scratch."""
        assert parent.result is not None
        found = last_healthy(Run(Path(parent.job.folder)), parent.result.onset)
        if found is None or not self._quality(parent, found[1]).score >= LEARNED:
            return None
        return found[0]

    def _begin(self, attempts: list[Attempt]) -> None:
        self.attempts += attempts
        self._round = list(attempts)
        self._queue.extend(attempts)

    def _attempt(
        self,
        number: int,
        config: RunConfig,
        remedy: Remedy | None,
        why: str,
        parent: Attempt | None,
        start: str | None = None,
    ) -> Attempt:
        name = f"{number:02}-{remedy.name if remedy else 'untreated' if parent is None else 'final'}"
        change: dict[str, Any] = {}
        if parent is not None:
            before = config_of(self.family, parent.job.settings)
            differs = [c for c in diff(before, config) if c.path != "train.on_failure"]
            change = {c.path: c.new for c in differs}
            if remedy is not None and remedy.apply == "hot" and all(c.hot for c in differs):
                start = self._fork_point(parent)
        expectation = f"no alarm, and a quality above that of {parent.job.name}" if parent and remedy else ""
        job = Job(
            name,
            str(self.runs / name),
            self.family.name,
            config.model_dump(mode="json"),
            parent.job.folder if parent else None,
            start,
            change,
            why,
            expectation,
            needed=remedy is None,
        )
        return Attempt(job, remedy, why)


def succeeded(result: Result) -> bool:
    """Return whether a run finished and is not sick; a suspect run also needs enough quality."""
    if result.status != "finished" or result.verdict in ("sick", "crashed"):
        return False
    return result.verdict != "suspect" or result.score is None or result.score >= ENOUGH


def candidates(family: str, result: Result) -> list[Remedy]:
    """Return the remedies for a result's symptoms, likeliest cause first and contradicted advice last."""
    found: dict[str, Remedy] = {}
    for symptom in result.symptoms:
        causes = result.causes if symptom == result.symptoms[0] else ()
        for remedy in remedies_for(symptom, causes, family):
            if remedy.change:
                found.setdefault(remedy.name, remedy)
    return sorted(found.values(), key=lambda r: r.evidence == "contradicted")


def _monitored(config: RunConfig) -> dict[str, Any]:
    """Return settings that a treatment needs: stop when sick, and checkpoints that are close enough to fork from."""
    train = config.train
    values: dict[str, Any] = {"train.on_failure": "stop", "train.keep_checkpoints": max(train.keep_checkpoints, 6)}
    if train.steps is not None:
        values["train.checkpoint_every"] = min(train.checkpoint_every, max(1, train.steps // CHECKPOINTS))
    return values


def _identity(config: RunConfig) -> str:
    flat = flatten(config)
    return repr({k: v for k, v in flat.items() if k not in ("recipe", "hypothesis", "train.on_failure")})


def _text(level: Quality) -> str:
    return "not measured" if math.isnan(level.score) else f"{level.score:.2f}"

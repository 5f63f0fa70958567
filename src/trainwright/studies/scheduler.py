"""The scheduler: a source yields experiments that can start, an executor runs them, and a journal records them.

The source's decisions depend only on which experiments started and ended, in order. A replay of the journal restores its state.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from trainwright.errors import UserError
from trainwright.studies.jobs import Job, Result

LOSSES = 5  # number of lost workers after which an experiment is given up
WAIT = 0.5  # seconds between checks of the stop function


class Source(Protocol):
    """Source of experiments: a plan, a treatment or a search."""

    def next(self) -> Job | None:
        """Return an experiment that can start now, each only once; None if there is none at the moment."""
        ...

    def ended(self, job: Job, result: Result) -> None:
        """Receive the result of an experiment; called once for each."""
        ...


class Executor(Protocol):
    """Runner of experiments."""

    capacity: int

    def submit(self, job: Job) -> None:
        """Start an experiment; never more than ``capacity`` at the same time."""
        ...

    def wait(self, seconds: float) -> list[tuple[Job, Result | None]]:
        """Return experiments that ended within ``seconds``, with None for one whose worker was lost."""
        ...

    def close(self) -> None:
        """Ask running experiments to stop with a checkpoint, and wait for them."""
        ...


class Journal(Protocol):
    """Record of a study; implemented by :class:`trainwright.studies.study.Study`."""

    def history(self) -> Iterable[tuple[str, str | Result]]:
        """Return (name, fingerprint of settings) of each started experiment and (name, result) of each ended one, in order."""
        ...

    def failures(self) -> dict[str, str]:
        """Return names and reasons of experiments that could not run so far."""
        ...

    def fail(self, job: Job, result: Result) -> None:
        """Record that an experiment could not run."""
        ...

    def start(self, job: Job) -> None:
        """Record that an experiment starts."""
        ...

    def end(self, job: Job, result: Result) -> None:
        """Record the result of an experiment."""
        ...

    def write(self, event: str, **facts: object) -> None:
        """Record any other event."""
        ...


def drive(
    source: Source,
    executor: Executor,
    journal: Journal,
    stop: Callable[[], bool] = lambda: False,
    reported: Callable[[Job, Result], None] = lambda job, result: None,
    decided: Callable[[], object] = lambda: None,
) -> bool:
    """Run all experiments of a source.

    An experiment that could not run (``failed``, for example on a full disk) has not ended. The next call tries it again, and gives it
    up if it fails again, unless the study needs it.

    Args:
        source: yields experiments.
        executor: runs them; the caller closes it.
        journal: experiments that ended before are not run again, and interrupted ones resume from their checkpoints.
        stop: True starts no further experiment; the running ones are stopped by :meth:`Executor.close`.
        reported: called for each experiment that ended or could not run in this call.
        decided: called after the source has received the result.

    Returns:
        True if all was done; False if it or an experiment was asked to stop, or an experiment could not run.

    Raises:
        UserError: the journal holds other experiments than the source yields.
    """
    waiting, failed = deque(_replay(source, journal)), set(journal.failures())
    running, losses, incomplete = set[str](), Counter[str](), False
    while not stop():
        job = None
        if len(running) < executor.capacity:
            job = waiting.popleft() if waiting else source.next()
        if job is not None:
            journal.start(job)
            executor.submit(job)
            running.add(job.name)
            continue
        if not running:
            return not incomplete
        for done, result in executor.wait(WAIT):
            running.discard(done.name)
            if result is None:
                losses[done.name] += 1
                journal.write("lost", experiment=done.name, times=losses[done.name])
                if losses[done.name] < LOSSES:
                    executor.submit(done)
                    running.add(done.name)
                    continue
                result = Result("failed", reason=f"its worker was lost {LOSSES} times")
            if result.status == "interrupted":
                incomplete = True
                continue
            if result.status == "failed":
                if losses[done.name] and losses[done.name] < LOSSES:
                    result = replace(result, reason=f"{result.reason} (workers lost: {losses[done.name]})")
                if done.needed or done.name not in failed:
                    incomplete = True
                    journal.fail(done, result)
                    reported(done, result)
                    continue
            journal.end(done, result)
            reported(done, result)
            source.ended(done, result)
            decided()
    return False


def _replay(source: Source, journal: Journal) -> list[Job]:
    """Replay the journal in order, and return the experiments that started and have not ended."""
    started: dict[str, Job | None] = {}
    for name, what in journal.history():
        if isinstance(what, str):
            if name in started:
                continue  # it was interrupted, and started again
            job = source.next()
            if job is None or job.name != name or what not in ("", job.fingerprint):
                raise UserError(
                    f"the journal holds experiment {name} with other settings: the recipe or Trainwright has changed since then. "
                    "Restore the old one, or choose another folder with --study."
                )
            started[name] = job
        else:
            job = started.get(name)
            if job is not None:  # the first result counts
                started[name] = None
                source.ended(job, what)
    return [job for job in started.values() if job is not None]

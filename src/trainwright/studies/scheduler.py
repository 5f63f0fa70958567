"""Who runs next: a source says which experiments can begin, an executor runs them, the journal remembers.

The source's decisions depend on what began and ended, in that order, so a source that is fed the journal again stands where it stood.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from trainwright.errors import UserError
from trainwright.studies.jobs import Job, Result

LOSSES = 5  # after so many lost workers an experiment is given up
WAIT = 0.5  # seconds between looks at whether to stop


class Source(Protocol):
    """Where experiments come from."""

    def next(self) -> Job | None:
        """An experiment that can begin now, which is never given twice; None if there is none at the moment."""
        ...

    def ended(self, job: Job, result: Result) -> None:
        """Told once for each."""
        ...


class Executor(Protocol):
    """Where experiments are run."""

    capacity: int

    def submit(self, job: Job) -> None:
        """Begins one; never more than ``capacity`` at once."""
        ...

    def wait(self, seconds: float) -> list[tuple[Job, Result | None]]:
        """Those that ended, after at most so long; None for one whose worker was lost."""
        ...

    def close(self) -> None:
        """Asks what still runs to stop with a checkpoint, and waits for it."""
        ...


class Journal(Protocol):
    """What is remembered; :class:`trainwright.studies.study.Study`."""

    def history(self) -> Iterable[tuple[str, str | Result]]:
        """(name, fingerprint of its settings) of each experiment that began and (name, result) of each that ended, in order."""
        ...

    def failures(self) -> dict[str, str]:
        """Name and reason of experiments that could not be run so far."""
        ...

    def fail(self, job: Job, result: Result) -> None:
        """One could not be run."""
        ...

    def start(self, job: Job) -> None:
        """One begins."""
        ...

    def end(self, job: Job, result: Result) -> None:
        """It ended."""
        ...

    def write(self, event: str, **facts: object) -> None:
        """Anything else."""
        ...


def drive(
    source: Source,
    executor: Executor,
    journal: Journal,
    stop: Callable[[], bool] = lambda: False,
    reported: Callable[[Job, Result], None] = lambda job, result: None,
    judged: Callable[[], object] = lambda: None,
) -> bool:
    """Runs everything that the source gives.

    One that could not be run (``failed``: a full disk, say) did not end: the next call tries it again, and gives it up if it fails
    again, unless the study cannot do without it.

    Args:
        source: of experiments.
        executor: of them; the caller closes it.
        journal: what ended before is not run again, what was cut short goes on from its checkpoint.
        stop: True begins nothing more; what runs is left to :meth:`Executor.close`.
        reported: called for each that ended, or could not be run, in this call.
        judged: called once the source knows of it.

    Returns:
        Whether all was done; False if it, or something that ran, was asked to stop, or could not be run.

    Raises:
        UserError: the journal is of other experiments than the source gives.
    """
    waiting, failed = deque(_again(source, journal)), set(journal.failures())
    running, losses, cut = set[str](), Counter[str](), False
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
            return not cut
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
                cut = True
                continue
            if result.status == "failed":
                if losses[done.name] and losses[done.name] < LOSSES:
                    result = replace(result, reason=f"{result.reason} (workers lost: {losses[done.name]})")
                if done.needed or done.name not in failed:
                    cut = True
                    journal.fail(done, result)
                    reported(done, result)
                    continue
            journal.end(done, result)
            reported(done, result)
            source.ended(done, result)
            judged()
    return False


def _again(source: Source, journal: Journal) -> list[Job]:
    """Feeds the journal to the source, in order; what began and has not ended."""
    started: dict[str, Job | None] = {}
    for name, what in journal.history():
        if isinstance(what, str):
            if name in started:
                continue  # it was cut short, and begun again
            job = source.next()
            if job is None or job.name != name or what not in ("", job.fingerprint):
                raise UserError(
                    f"the journal says that {name} was begun, with settings that are not those of now: the recipe, or Trainwright, "
                    "has been changed since. Give the old one back, or choose another folder with --study."
                )
            started[name] = job
        else:
            job = started.get(name)
            if job is not None:  # the first word counts
                started[name] = None
                source.ended(job, what)
    return [job for job in started.values() if job is not None]

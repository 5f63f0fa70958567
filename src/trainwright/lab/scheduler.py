"""Who runs next: a source says which experiments can begin, an executor runs them, the journal remembers.

The source's decisions depend on results only, so a source that is fed the journal again stands where it stood.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from trainwright.lab.jobs import Job, Result

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
    """What is remembered; :class:`trainwright.lab.study.Study`."""

    def results(self) -> dict[str, Result]:
        """Of experiments that ended."""
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
    told: Callable[[Job, Result], None] = lambda job, result: None,
) -> bool:
    """Runs everything that the source gives.

    Args:
        source: of experiments.
        executor: of them; the caller closes it.
        journal: what ended before is not run again, what was cut short goes on from its checkpoint.
        stop: True begins nothing more; what runs is left to :meth:`Executor.close`.
        told: called for each that ended in this call.

    Returns:
        Whether all was done; False if it, or something that ran, was asked to stop.
    """
    known, running, losses, cut = journal.results(), set[str](), Counter[str](), False
    while not stop():
        job = source.next() if len(running) < executor.capacity else None
        if job is not None and job.name in known:
            source.ended(job, known.pop(job.name))
            continue
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
            if result.status == "failed" and losses[done.name]:
                result = replace(result, reason=f"{result.reason} (workers lost: {losses[done.name]})")
            journal.end(done, result)
            told(done, result)
            source.ended(done, result)
    return False

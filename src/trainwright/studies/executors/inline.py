"""Execution of one experiment at a time in this process, so that it can show its own status line."""

from collections.abc import Callable

from trainwright.engine.display import Display
from trainwright.studies.jobs import Job, Result, work


class InlineExecutor:
    """Runs a job when :meth:`wait` is called."""

    capacity = 1

    def __init__(self, display: Display, stop: Callable[[], bool]) -> None:
        self._display, self._stop = display, stop
        self._job: Job | None = None

    def submit(self, job: Job) -> None:
        """Store the job for :meth:`wait`."""
        self._job = job

    def wait(self, seconds: float) -> list[tuple[Job, Result | None]]:
        """Run the stored job to its end."""
        job, self._job = self._job, None
        return [(job, work(job, self._stop, self._display))] if job is not None else []

    def close(self) -> None:
        """Do nothing, because no job runs between calls."""

"""Run a study to its end: an executor, progress, Ctrl-C, and at the end its table and page."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from trainwright.errors import UserError
from trainwright.progress import PLAIN_EVERY, display, stop_on_signal

if TYPE_CHECKING:
    from trainwright.studies.jobs import Job, Result
    from trainwright.studies.scheduler import Executor, Source
    from trainwright.studies.study import Study

S = TypeVar("S", bound="Source")
ExecutorKind = Literal["processes", "ray"]


@dataclass(frozen=True)
class StudyOptions:
    """Options for running the trainings of a study.

    Attributes:
        workers: trainings at the same time.
        executor: processes of this machine, or a Ray cluster.
        address: of the Ray cluster.
        progress: False for silence.
    """

    workers: int = 1
    executor: ExecutorKind = "processes"
    address: str = "auto"
    progress: bool = True

    def say(self, text: str) -> None:
        """Print a line, unless there is to be silence."""
        if self.progress:
            print(text, flush=True)


@dataclass(frozen=True)
class StudyOutcome:
    """The end of a call: whether the study is over, its table, and its page."""

    over: bool
    table: dict[str, Any]
    page: Path


def run_study(source: S, study: "Study", table_of: Callable[[S], dict[str, Any]], means: StudyOptions) -> StudyOutcome:
    """Run a source to its end, or until Ctrl-C; write table and page.

    Raises:
        UserError: an experiment could not be run.
    """
    from trainwright.report.study_page import build_notebook
    from trainwright.studies.scheduler import drive
    from trainwright.studies.summary import write

    means.say(f"study: {study.folder}")

    def keep() -> dict[str, Any]:
        table = table_of(source)
        write(study.folder, table)  # a page that is made meanwhile shows how far it is
        return table

    def ended(job: "Job", result: "Result") -> None:
        means.say(_ended(job, result))

    with _at_work(means) as (executor, stop):
        over = drive(source, executor, study, stop, ended, keep)
    table = keep()
    page = build_notebook(study.folder)
    failures = study.failures()
    if not over and failures and not stop():
        means.say(f"notebook: {page}")
        named = "; ".join(f"{name} ({reason})" for name, reason in failures.items())
        raise UserError(f"could not be run: {named}. Fix it and give the same command again: it continues with that.")
    return StudyOutcome(over, table, page)


@contextlib.contextmanager
def _at_work(means: StudyOptions) -> Iterator[tuple["Executor", Callable[[], bool]]]:
    """Yield an executor, and a function that is true once Ctrl-C or SIGTERM has asked for an end."""
    with display(means.progress) as shown, stop_on_signal(shown.note) as stop:
        executor: Executor
        if means.executor == "ray":
            from trainwright.studies.executors.ray_cluster import RayExecutor

            executor = RayExecutor(means.address, means.workers)
        elif means.workers == 1:
            from trainwright.studies.executors.inline import InlineExecutor

            executor = InlineExecutor(shown, stop)
        else:
            from trainwright.studies.executors.local import LocalExecutor

            executor = LocalExecutor(means.workers, status=_Lines(means))
        try:
            yield executor, stop
        finally:
            executor.close()


def _ended(job: "Job", result: "Result") -> str:
    if result.status == "failed":
        return f"{job.name}: could not be run: {result.reason}"
    score = f", quality {result.score:.2f}" if result.score is not None else ""
    speed = f", {result.speed:.0f} samples/s" if result.speed is not None else ""
    return f"{job.name}: {result.verdict} at step {result.step}{score}{speed}: {result.reason}"


class _Lines:
    """Status of several trainings: a line for each every few seconds."""

    def __init__(self, means: StudyOptions) -> None:
        self._means = means
        self._last: dict[str, float] = {}

    def __call__(self, name: str, text: str, done: int, total: int) -> None:
        """Print the line if it is time, or if it is a note."""
        if total and time.monotonic() - self._last.get(name, -PLAIN_EVERY) < PLAIN_EVERY:
            return
        if total:
            self._last[name] = time.monotonic()
        self._means.say(f"[{name}] {text}")

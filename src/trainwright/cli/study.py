"""What the verbs that run many trainings share: workers, progress, Ctrl-C, the folder."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from trainwright.cli.display import PLAIN_EVERY, display
from trainwright.cli.train import stop_on_signal
from trainwright.errors import UserError

if TYPE_CHECKING:
    from trainwright.studies.jobs import Job, Result
    from trainwright.studies.scheduler import Executor, Source
    from trainwright.studies.study import Study

S = TypeVar("S", bound="Source")
Workers = Annotated[int, typer.Option(min=1, help="Trainings at the same time; CPU cores are shared out.")]
Kind = Annotated[
    Literal["processes", "ray"], typer.Option("--executor", help="Processes of this machine, or a Ray cluster.")
]
Address = Annotated[str, typer.Option(help="With --executor ray: the cluster's address.")]
Root = Annotated[Path, typer.Option(help="Folder in which studies are named.")]
Folder = Annotated[Path | None, typer.Option("--study", help="Folder of the study; by default named after the input.")]


@contextlib.contextmanager
def at_work(workers: int, kind: str, address: str) -> Iterator[tuple["Executor", Callable[[], bool]]]:
    """An executor with progress on standard output, and whether Ctrl-C or SIGTERM has asked for an end."""
    with display() as shown, stop_on_signal(shown.note) as stop:
        executor: Executor
        if kind == "ray":
            from trainwright.studies.executors.ray_cluster import RayExecutor

            executor = RayExecutor(address, workers)
        elif workers == 1:
            from trainwright.studies.executors.inline import InlineExecutor

            executor = InlineExecutor(shown, stop)
        else:
            from trainwright.studies.executors.local import LocalExecutor

            executor = LocalExecutor(workers, status=_Lines())
        try:
            yield executor, stop
        finally:
            executor.close()


def conduct(
    source: S, study: "Study", table_of: Callable[[S], dict[str, Any]], workers: int, kind: str, address: str
) -> tuple[dict[str, Any], Path]:
    """Runs a source to its end, then writes table and notebook and returns them; after Ctrl-C it says how to go on, and exits."""
    from trainwright.report.study_page import build_notebook
    from trainwright.studies.scheduler import drive
    from trainwright.studies.summary import write

    print(f"study: {study.folder}", flush=True)

    def keep() -> dict[str, Any]:
        table = table_of(source)
        write(study.folder, table)  # a notebook that is made meanwhile shows how far it is
        return table

    with at_work(workers, kind, address) as (executor, stop):
        over = drive(source, executor, study, stop, _say, keep)
    table = keep()
    page = build_notebook(study.folder)
    failures = study.failures()
    if not over and failures and not stop():
        print(f"notebook: {page}")
        named = "; ".join(f"{name} ({reason})" for name, reason in failures.items())
        raise UserError(f"could not be run: {named}. Mend it and give the same command again: it goes on with that.")
    if not over:
        print(f"notebook: {page}")
        print(f"stopped; what ran has a checkpoint. The same command goes on ({study.folder})", file=sys.stderr)
        raise typer.Exit(130)
    return table, page


def _say(job: "Job", result: "Result") -> None:
    if result.status == "failed":
        print(f"{job.name}: could not be run: {result.reason}", flush=True)
        return
    score = f", quality {result.score:.2f}" if result.score is not None else ""
    speed = f", {result.speed:.0f} samples/s" if result.speed is not None else ""
    print(f"{job.name}: {result.verdict} at step {result.step}{score}{speed}: {result.reason}", flush=True)


class _Lines:
    """Status of several trainings: a line for each every few seconds."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def __call__(self, name: str, text: str, done: int, total: int) -> None:
        """Prints the line if it is time, or if it is a note."""
        if total and time.monotonic() - self._last.get(name, -PLAIN_EVERY) < PLAIN_EVERY:
            return
        if total:
            self._last[name] = time.monotonic()
        print(f"[{name}] {text}", flush=True)


def seconds(text: str) -> float:
    """``90s``, ``30m``, ``2h`` or ``1.5h`` in seconds.

    Raises:
        UserError: it is neither.
    """
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    try:
        value = float(text[:-1]) * units[text[-1:]]
        if not 0 < value < float("inf"):
            raise ValueError
        return value
    except (ValueError, KeyError):
        raise UserError(f"--budget {text}: expected a time such as 90s, 30m or 2h.") from None

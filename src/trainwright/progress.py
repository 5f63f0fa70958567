"""Progress for whoever waits: the status line of a training, bars for counted work, and Ctrl-C that saves first."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

PLAIN_EVERY = 10.0  # seconds between lines where nothing can be redrawn
REDRAW_EVERY = 0.1  # seconds


class Shown(Protocol):
    """Destination of a training's status line."""

    def status(self, text: str, done: int, total: int) -> None:
        """Show the state of the run."""
        ...

    def note(self, text: str) -> None:
        """Show a sentence that the next status must not overwrite."""
        ...


class NoDisplay:
    """A display that shows nothing."""

    def status(self, text: str, done: int, total: int) -> None:
        """Ignore the status."""

    def note(self, text: str) -> None:
        """Ignore the note."""


class PlainDisplay:
    """Lines for a pipe or a log file: the first, then one every few seconds, and the last."""

    def __init__(self) -> None:
        self._last = -PLAIN_EVERY

    def status(self, text: str, done: int, total: int) -> None:
        """Print the line if it is time, or if it is the last."""
        if time.monotonic() - self._last >= PLAIN_EVERY or done >= total:
            self._last = time.monotonic()
            print(text, flush=True)

    def note(self, text: str) -> None:
        """Print the note."""
        print(text, flush=True)


class LiveDisplay:
    """A bar and the status line, redrawn in place when there is news: no thread competes with training."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def status(self, text: str, done: int, total: int) -> None:
        """Redraw."""
        row = Table.grid(padding=(0, 1))
        row.add_row(ProgressBar(total=total, completed=done, width=20), Text(text))
        self._live.update(row, refresh=True)

    def note(self, text: str) -> None:
        """Print above the bar."""
        self._live.console.print(text, markup=False, highlight=False)


@contextlib.contextmanager
def display(shown: bool = True) -> Iterator[Shown]:
    """Yield the display that fits standard output: live in a terminal or notebook, lines in a pipe."""
    console = Console()
    if not shown:
        yield NoDisplay()
    elif not (sys.stdout.isatty() or console.is_jupyter):
        yield PlainDisplay()
    else:
        with Live(console=console, auto_refresh=False) as live:
            yield LiveDisplay(live)


class _Bar:
    """A callback for counted work: redrawn in a terminal, a line now and then in a pipe."""

    def __init__(self, what: str) -> None:
        self._what, self._shown = what, time.monotonic()
        self._console = Console(stderr=True)
        self._progress: Progress | None = None
        self._task = TaskID(0)

    def __call__(self, done: int, total: int) -> None:
        elapsed = time.monotonic() - self._shown
        if not self._console.is_terminal:
            if done == total or elapsed > PLAIN_EVERY:
                self._shown = time.monotonic()
                print(f"{self._what}: {done}/{total}", file=sys.stderr, flush=True)
        elif elapsed > REDRAW_EVERY or done == total:
            self._shown = time.monotonic()
            self._draw(done, total)

    def _draw(self, done: int, total: int) -> None:
        if self._progress is None:
            columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
            self._progress = Progress(*columns, console=self._console, auto_refresh=False)
            self._task = self._progress.add_task(self._what, total=total)
            self._progress.start()
        self._progress.update(self._task, completed=done, total=total, refresh=True)
        if done == total:
            self.close()

    def close(self) -> None:
        """Leave the last state on the screen and give the cursor back."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


@contextlib.contextmanager
def progress_bar(what: str, shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback ``(done, total)`` that shows the progress of counted work on standard error."""
    bar = _Bar(what)
    try:
        yield bar if shown else lambda done, total: None
    finally:
        bar.close()


def is_helper() -> bool:
    """True in a process that another one of the same run started (``train.devices`` above 1): it stays silent."""
    return int(os.environ.get("LOCAL_RANK", "0")) > 0


class stop_on_signal:
    """While active, a first SIGINT or SIGTERM only raises a flag; a second SIGINT interrupts at once.

    Signals can be caught in the main thread alone; in another thread the flag is never raised.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note, self._flag = note, threading.Event()

    def __enter__(self) -> Callable[[], bool]:
        caught = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
        self._before = {s: signal.signal(s, self._handle) for s in caught}
        return self._flag.is_set

    def _handle(self, number: int, frame: object) -> None:
        if self._flag.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._flag.set()
        self._note("stopping after this step, with a checkpoint (Ctrl-C again: at once)")

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

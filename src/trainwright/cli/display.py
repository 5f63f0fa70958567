"""The status line in a terminal (live, with a bar) or in a pipe (a plain line now and then)."""

import contextlib
import sys
import time
from collections.abc import Iterator

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

PLAIN_EVERY = 10.0  # seconds between lines when nobody watches live


class PlainDisplay:
    """Lines for a pipe or a log file: the first, then one every few seconds, and the last."""

    def __init__(self) -> None:
        self._last = -PLAIN_EVERY

    def status(self, text: str, done: int, total: int) -> None:
        """Prints the line if it is time, or if it is the last."""
        if time.monotonic() - self._last >= PLAIN_EVERY or done >= total:
            self._last = time.monotonic()
            print(text, flush=True)

    def note(self, text: str) -> None:
        """Prints the note."""
        print(text, flush=True)


class LiveDisplay:
    """A bar and the status line, redrawn in place when there is news: no thread competes with training."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def status(self, text: str, done: int, total: int) -> None:
        """Redraws."""
        row = Table.grid(padding=(0, 1))
        row.add_row(ProgressBar(total=total, completed=done, width=20), Text(text))
        self._live.update(row, refresh=True)

    def note(self, text: str) -> None:
        """Prints above the bar."""
        self._live.console.print(text, markup=False, highlight=False)


@contextlib.contextmanager
def display() -> Iterator[PlainDisplay | LiveDisplay]:
    """The display that fits standard output."""
    if not sys.stdout.isatty():
        yield PlainDisplay()
        return
    with Live(console=Console(), auto_refresh=False) as live:
        yield LiveDisplay(live)


class Bar:
    """A progress callback for work that is counted: ``Bar("decoding")(done, total)``."""

    def __init__(self, what: str) -> None:
        self._what, self._shown = what, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Shows progress: live in a terminal; in a pipe now and then and at the end."""
        live = sys.stderr.isatty()
        elapsed = time.monotonic() - self._shown
        if live and (elapsed > 0.1 or done == total):
            filled = int(20 * done / max(1, total))
            end = "\n" if done == total else ""
            print(
                f"\r{self._what} [{'#' * filled}{'.' * (20 - filled)}] {done}/{total}",
                end=end,
                file=sys.stderr,
                flush=True,
            )
            self._shown = time.monotonic()
        elif not live and (done == total or elapsed > PLAIN_EVERY):
            self._shown = time.monotonic()
            print(f"{self._what}: {done}/{total}", file=sys.stderr, flush=True)

"""The status line of a run, and the protocol of displays that show it."""

from collections.abc import Mapping
from typing import Protocol


class Display(Protocol):
    """Receiver of the status line: a live line in a terminal, plain lines in a pipe, nothing in a test."""

    def status(self, text: str, done: int, total: int) -> None:
        """Show the state of the run; called about once per log row."""
        ...

    def note(self, text: str) -> None:
        """Show a line that the next status must not overwrite."""
        ...


class Silent:
    """A display that shows nothing."""

    def status(self, text: str, done: int, total: int) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


def status_line(
    step: int, total: int, epoch: float, signals: Mapping[str, float], headline: Mapping[str, str], verdict: str
) -> str:
    """Return progress, speed, remaining time, terms, verdict and the cost of monitoring, in that order."""
    speed = signals.get("speed/samples_per_second", 0.0)
    left = signals.get("speed/seconds_left", 0.0)
    terms = " ".join(f"{label} {signals[name]:+.2f}" for label, name in headline.items() if name in signals)
    watching = signals.get("monitor/time_share", 0.0)
    parts = [
        f"step {step}/{total}",
        f"epoch {epoch:.1f}",
        f"{speed:.0f} samples/s",
        f"ETA {_clock(left)}",
        terms,
        verdict,
    ]
    return " · ".join(part for part in [*parts, f"watching {watching:.1%}"] if part)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

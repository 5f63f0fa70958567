"""The one line that says how a run is doing, and the protocol by which the loop shows it."""

from collections.abc import Mapping
from typing import Protocol


class Display(Protocol):
    """Where the status line goes: a live line in a terminal, plain lines in a pipe, nothing in a test."""

    def status(self, text: str, done: int, total: int) -> None:
        """Shows the state of the run; called about once a log row."""
        ...

    def note(self, text: str) -> None:
        """Says something that must not be overwritten by the next status."""
        ...


class Silent:
    """A display that shows nothing."""

    def status(self, text: str, done: int, total: int) -> None:
        """Ignored."""

    def note(self, text: str) -> None:
        """Ignored."""


def status_line(
    step: int, total: int, epoch: float, signals: Mapping[str, float], headline: Mapping[str, str], verdict: str
) -> str:
    """Progress, speed, time to go, terms, verdict and the cost of watching, in that order."""
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

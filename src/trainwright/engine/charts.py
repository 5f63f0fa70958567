"""One plot of a report as a family declares it: its signals, and how to read them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Chart:
    """A title, a sentence on how to read it, and (label, signal) lines."""

    title: str
    reading: str
    lines: Sequence[tuple[str, str]]
    log: bool = False

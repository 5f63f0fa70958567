"""One plot of a report as a family declares it: which signals, and how a person reads them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Chart:
    """A title, a sentence on how to read it, and (label, signal) lines."""

    title: str
    reading: str
    lines: Sequence[tuple[str, str]]
    log: bool = False

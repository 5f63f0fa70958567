"""What a cause is: why a symptom is there, and how much the settings and signals speak for it."""

from collections.abc import Callable
from dataclasses import dataclass

from trainwright.health.history import History
from trainwright.health.symptom import Finding


@dataclass(frozen=True)
class Weight:
    """How much speaks for a cause: 0 (nothing) to 1 (certain), and the sentence that says what does."""

    score: float
    because: str


@dataclass(frozen=True)
class Cause:
    """One reason for one or more symptoms.

    Attributes:
        name: as remedies name it.
        title: a few words.
        of: the symptoms that it can be behind.
        weigh: evidence for it in a run that has one of them; None if it is ruled out.
    """

    name: str
    title: str
    of: tuple[str, ...]
    weigh: Callable[[History, Finding], Weight | None]


@dataclass(frozen=True)
class Ranked:
    """A cause with its weight in one run."""

    cause: Cause
    weight: Weight

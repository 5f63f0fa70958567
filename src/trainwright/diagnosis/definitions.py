"""Definitions of signal, symptom, observation, evidence and cause, and the helpers that symptoms share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from trainwright.diagnosis.history import History, Series

Severity = Literal["note", "suspect", "sick"]
ORDER: Mapping[str, int] = {"note": 0, "suspect": 1, "sick": 2}


@dataclass(frozen=True)
class Bound:
    """A threshold with its source; the number exists once, here, and both the code and ``trainwright explain`` read it."""

    value: float
    meaning: str
    source: str


@dataclass(frozen=True)
class Evidence:
    """One number that speaks for a finding: the signal, its value, what it was held against, and the steps it was seen over."""

    signal: str
    value: float
    against: float
    sentence: str
    begin: float
    end: float


@dataclass(frozen=True)
class Observation:
    """A symptom that is there.

    Attributes:
        onset: the first step of the stretch in which the condition held.
        alarm: the step at which it had held for long enough to say so.
        severity: ``note`` (told, but no alarm), ``suspect`` or ``sick``.
        evidence: the numbers.
    """

    onset: float
    alarm: float
    severity: Severity
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class Unknown:
    """The symptom cannot be judged from these signals; ``probe`` says what would tell."""

    probe: str


Judgement = Observation | Unknown | None


@dataclass(frozen=True, kw_only=True)
class Symptom:
    """One thing that can be wrong with a run.

    Attributes:
        name: as in ``trainwright explain NAME``.
        title: a few words.
        what: what it is, in a sentence or two.
        measured: how it is told.
        bounds: its thresholds by name.
        speed: ``fast`` ones are looked for from the first steps on; ``slow`` ones need persistence.
        detect: the function of the history; None is "judged, and not there".
        explains: symptoms that follow from this one and are not alarms of their own beside it.
        certain: where it makes a run sick, it will not mend itself and a training is stopped (``on_failure``).
        raw: also looks at readings that are not finite; for the others those are taken out.
    """

    name: str
    title: str
    what: str
    measured: str
    bounds: Mapping[str, Bound]
    detect: Callable[[History], Judgement]
    speed: Literal["fast", "slow"] = "slow"
    explains: tuple[str, ...] = ()
    raw: bool = False
    certain: bool = False


@dataclass(frozen=True)
class Assessment:
    """How much speaks for a cause: 0 (nothing) to 1 (certain), and the sentence that says what does."""

    score: float
    because: str


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One reason for one or more symptoms.

    Attributes:
        name: as remedies name it.
        title: a few words.
        of: the symptoms that it can be behind.
        assess: evidence for it in a run that has one of them; None if it is ruled out.
    """

    name: str
    title: str
    of: tuple[str, ...]
    assess: Callable[[History, Observation], Assessment | None]


@dataclass(frozen=True)
class RankedCause:
    """A cause with its weight in one run."""

    cause: Cause
    weight: Assessment


@dataclass(frozen=True, kw_only=True)
class Signal:
    """A signal that one family has, declared once.

    Attributes:
        name: as in ``metrics.jsonl``; one that ends in ``/*`` stands for every name with that beginning.
        unit: of its values; empty for a plain number.
        better: where a good run moves it: ``higher``, ``lower``, towards ``1``, or empty if it says neither.
        meaning: one sentence.
        held_out: the signal of the same quantity on held-out data, compared with it to detect overfitting.
        quality: it measures samples or reconstructions, so that a run with it can be judged healthy.
    """

    name: str
    meaning: str
    unit: str = ""
    better: Literal["higher", "lower", "1", ""] = ""
    held_out: str = ""
    quality: bool = False

    @property
    def prefix(self) -> str:
        """The beginning of every name that it stands for."""
        return self.name.removesuffix("*")


# ---- what symptoms share -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stretch:
    """A run of readings in which a condition held: where it began, where it had held for long enough, where it was last seen."""

    onset: float
    alarm: float
    end: float
    first: int
    last: int


def persistent(steps: np.ndarray, bad: np.ndarray, least: int) -> Stretch | None:
    """The stretch that reaches to the newest reading, if it is at least ``least`` readings long."""
    if not len(bad) or not bad[-1]:
        return None
    begin = len(bad) - 1
    while begin > 0 and bad[begin - 1]:
        begin -= 1
    if len(bad) - begin < least:
        return None
    return Stretch(float(steps[begin]), float(steps[begin + least - 1]), float(steps[-1]), begin, len(bad) - 1)


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Median of the last ``width`` readings at each reading, the first standing in for those before it; causal."""
    if width <= 1 or not len(values):
        return values
    padded = np.concatenate([np.repeat(values[:1], width - 1), values])
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1))


def earlier(values: np.ndarray, readings: int) -> np.ndarray:
    """The value so many readings ago at each reading; the first ones stand for themselves."""
    return np.concatenate([values[:readings], values[:-readings]])[: len(values)]


def thin(series: Series, most: int = 200) -> Series:
    """At most ``most`` readings: medians of neighbouring ones, each at its last step, so that nothing from the future is in it."""
    n, size = len(series), 1
    while n / size > most:
        size *= 2
    if size == 1:
        return series
    whole = n // size * size
    values = np.median(series.values[:whole].reshape(-1, size), axis=1)
    steps = series.steps[size - 1 : whole : size]
    if whole < n:
        values, steps = np.append(values, np.median(series.values[whole:])), np.append(steps, series.steps[-1])
    return Series(steps, values)


def evidence(signal: str, series: Series, stretch: Stretch, against: float, sentence: str) -> Evidence:
    """Evidence from a stretch of a series: the median over it. ``{value}``, ``{percent}`` and the same of ``against`` are filled in."""
    inside = series.values[(series.steps >= stretch.onset) & (series.steps <= stretch.end)]
    value = float(np.median(inside)) if len(inside) else series.last
    percents = {"percent": _short(100 * value), "percent_against": _short(100 * against)}
    text = sentence.format(value=_short(value), against=_short(against), **percents)
    return Evidence(signal, value, against, text, stretch.onset, stretch.end)


def observation(stretch: Stretch, severity: Severity, *evidences: Evidence) -> Observation:
    """A finding over a stretch."""
    return Observation(stretch.onset, stretch.alarm, severity, tuple(evidences))


def as_dict(found: Observation) -> dict[str, Any]:
    """Plain values, for JSON."""
    return {
        "onset": found.onset,
        "alarm": found.alarm,
        "severity": found.severity,
        "evidence": [vars(e) for e in found.evidence],
    }


def _short(value: float) -> str:
    return f"{value:.3g}"

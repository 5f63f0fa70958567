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
    """Threshold of a symptom, with its meaning and its source.

    The number is written once: the code and ``trainwright explain`` both read it from here.
    """

    value: float
    meaning: str
    source: str


@dataclass(frozen=True)
class Evidence:
    """Number behind a finding: the signal, its value, the reference it is compared with, and the range of steps."""

    signal: str
    value: float
    against: float
    sentence: str
    begin: float
    end: float


@dataclass(frozen=True)
class Observation:
    """Occurrence of a symptom in a history.

    Attributes:
        onset: the first step of the stretch in which the condition held.
        alarm: the step at which the condition had held long enough to be reported.
        severity: ``note`` (reported without an alarm), ``suspect`` or ``sick``.
        evidence: the numbers behind it.
    """

    onset: float
    alarm: float
    severity: Severity
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class Unknown:
    """Result for a symptom that these signals cannot decide; ``probe`` names the missing measurement."""

    probe: str


Judgement = Observation | Unknown | None


@dataclass(frozen=True, kw_only=True)
class Symptom:
    """Definition of one fault that a run can show.

    Attributes:
        name: as in ``trainwright explain NAME``.
        title: a few words, for reports.
        what: its meaning, in a sentence or two.
        measured: the measurement that detects it.
        bounds: its thresholds by name.
        speed: ``fast`` symptoms are checked from the first steps; ``slow`` ones only after a number of readings.
        detect: the detector, a function of the history; None means that the symptom was judged and is absent.
        explains: symptoms that follow from this one; they raise no alarm of their own while it is more than a note.
        kinds: kinds of model that can show it, see :mod:`~trainwright.diagnosis.kinds`; empty for all.
        certain: if severe, the run cannot recover without intervention and training is stopped (``on_failure``).
        raw: also receives non-finite readings; they are removed for the other symptoms.
        advice: what to do in anyone's loop while no cause of it is likely.
    """

    name: str
    title: str
    what: str
    measured: str
    bounds: Mapping[str, Bound]
    detect: Callable[[History], Judgement]
    speed: Literal["fast", "slow"] = "slow"
    explains: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    raw: bool = False
    certain: bool = False
    advice: str = ""


@dataclass(frozen=True)
class Assessment:
    """Weight of the evidence for a cause, from 0 (none) to 1 (certain), the sentence that states it, and advice if it is known."""

    score: float
    reason: str
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Possible reason for one or more symptoms.

    Attributes:
        name: as remedies refer to it.
        title: a few words, for reports.
        of: the symptoms that it can produce.
        assess: the evidence for it in a run with one of these symptoms; None if it is ruled out.
        kinds: kinds of model that can have it, see :mod:`~trainwright.diagnosis.kinds`; empty for all.
        advice: what to do against it in anyone's loop; an inspection gives more precise advice.
    """

    name: str
    title: str
    of: tuple[str, ...]
    assess: Callable[[History, Observation], Assessment | None]
    kinds: tuple[str, ...] = ()
    advice: str = ""


@dataclass(frozen=True)
class RankedCause:
    """Cause with the weight of its evidence in one run."""

    cause: Cause
    weight: Assessment


# ---- helpers that symptoms share -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stretch:
    """Consecutive readings in which a condition held: first step, step of the alarm, and last step."""

    onset: float
    alarm: float
    end: float
    first: int
    last: int


SETTLED = 300  # steps below which a young network's samples say little, in a run of any length
MOST_WAITED = 0.4  # share of the planned steps that this wait may take


def warmed_up(h: History, share: float) -> float:
    """Return the step after which a symptom is judged: a share of the planned steps, and in a short run the first few hundred steps."""
    return max(share * h.budget, min(SETTLED, MOST_WAITED * h.budget))


def persistent(steps: np.ndarray, bad: np.ndarray, least: int) -> Stretch | None:
    """Return the stretch that ends at the newest reading, if it has at least ``least`` readings."""
    if not len(bad) or not bad[-1]:
        return None
    begin = len(bad) - 1
    while begin > 0 and bad[begin - 1]:
        begin -= 1
    if len(bad) - begin < least:
        return None
    return Stretch(float(steps[begin]), float(steps[begin + least - 1]), float(steps[-1]), begin, len(bad) - 1)


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Causal running median over the last ``width`` readings, padded with the first value."""
    if width <= 1 or not len(values):
        return values
    padded = np.concatenate([np.repeat(values[:1], width - 1), values])
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1))


def earlier(values: np.ndarray, readings: int) -> np.ndarray:
    """Values shifted by ``readings``: at each reading the earlier value, and the first ones unchanged."""
    return np.concatenate([values[:readings], values[:-readings]])[: len(values)]


def begun(series: Series) -> Series:
    """Return a series from its first number that is not 0: a term may begin later than the run."""
    nonzero = np.flatnonzero(np.abs(series.values) > 0)
    first = int(nonzero[0]) if len(nonzero) else 0
    return Series(series.steps[first:], series.values[first:])


def thin(series: Series, most: int = 200) -> Series:
    """Reduce a series to at most ``most`` readings: medians of blocks of neighbours.

    Each median is placed at the last step of its block, so that it contains nothing from later steps.
    """
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
    """Make evidence from the median of a series over a stretch.

    ``{value}`` and ``{against}`` in the sentence are filled in, ``{percent}`` and ``{percent_against}`` with the same in percent.
    """
    inside = series.values[(series.steps >= stretch.onset) & (series.steps <= stretch.end)]
    value = float(np.median(inside)) if len(inside) else series.last
    percents = {"percent": _short(100 * value), "percent_against": _short(100 * against)}
    text = sentence.format(value=_short(value), against=_short(against), **percents)
    return Evidence(signal, value, against, text, stretch.onset, stretch.end)


def observation(stretch: Stretch, severity: Severity, *evidences: Evidence) -> Observation:
    """Make an observation over a stretch."""
    return Observation(stretch.onset, stretch.alarm, severity, tuple(evidences))


def as_dict(found: Observation) -> dict[str, Any]:
    """Return plain values for JSON."""
    return {
        "onset": found.onset,
        "alarm": found.alarm,
        "severity": found.severity,
        "evidence": [vars(e) for e in found.evidence],
    }


def _short(value: float) -> str:
    return f"{value:.3g}"

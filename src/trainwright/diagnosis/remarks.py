"""Remarks on a log that are no symptoms: passes over the data, steps worth keeping, the time that steps take.

Remarks change no verdict, since clocks depend on the machine. A run of Trainwright has a report with the same numbers.
"""

import re
from collections.abc import Iterator, Mapping

import numpy as np

from trainwright.diagnosis.best import HIGHER, Best
from trainwright.diagnosis.definitions import smooth
from trainwright.diagnosis.history import History, Series
from trainwright.diagnosis.kinds import OUT_OF_SCOPE, kinds_of
from trainwright.diagnosis.signal_names import HELD_OUT, epoch_column, words

# names of clocks
SINCE_START = r"(?:^|[/_ ])(?:runtime|elapsed(?:_time)?|(?:wall_?)?time(?:stamp)?|total_sec|wall)$"
OF_A_STEP = (
    r"(?:^|[/_ ])(?:(?:step|iter(?:ation)?|batch)[/_ ]?(?:time|sec(?:ond)?s?)|time(?:_per_(?:step|iter|batch))?|sec_per_kimg"
    r"|epoch_time(?:_s)?)$"
)
A_SECOND = r"(?:it(?:er)?s?|steps?|samples|tokens|images)_per_sec(?:ond)?$"
OF_DATA = r"(?:^|[/_ ])data(?:[/_ ]?(?:time|load(?:ing)?(?:_time)?|t))?$"
LEAST = 16  # readings of a clock
SLOWER = 1.5  # time of a step over that at the beginning
WAITS = 0.3  # share of a step
NEAR = 0.02  # of the best held-out value
FALLS = 0.08  # of the loss at the beginning of a pass, above what it falls within one
# passes over text, up to which repeating costs little (Muennighoff et al. 2023, "Scaling Data-Constrained Language Models")
REPEATED = 4.0


def remarks(history: History, kept: Best | None) -> list[str]:
    """Return sentences on a log; ``kept`` is its best step."""
    if not history.foreign or OUT_OF_SCOPE in kinds_of(history):
        return []
    clocks = history.clocks
    return [*_passes(history, kept), *_window(history, kept), *_slower(clocks), *_waits(clocks)]


def _passes(h: History, kept: Best | None) -> Iterator[str]:
    """Say how often the data were seen, and where that leads to copies."""
    name = epoch_column(h.clocks)
    if name is None:
        return
    epochs = h.clocks[name]
    fine = np.isfinite(epochs.values)
    epochs = Series(epochs.steps[fine], epochs.values[fine])
    if not len(epochs):
        return
    whole = bool(np.all(epochs.values % 1 == 0))
    passes = float(epochs.last - epochs.values[0] + 1) if whole else float(epochs.last)
    if passes < 1.5:
        return
    kinds, held = kinds_of(h), any(words(str(c)) & HELD_OUT for c in h.facts.get("columns") or ())
    said = f"the data have been seen {passes:.3g} times"
    fallen = _by_heart(h.finite(), epochs) if kept is None or kept.passed else 0.0
    if fallen:
        yield (
            f"{said}; the loss falls by {fallen:.0%} whenever a pass begins, and little within one: "
            "examples are being learned by heart"
        )
    elif "diffusion" in kinds:
        yield (
            f"{said}; copies are to be expected from a number of passes that is about the same however many examples there are "
            "(Favero et al. 2025, Bonnaire et al. 2025): compare samples with their nearest training examples"
        )
    elif kinds & {"fine_tune", "autoregressive"} and passes > REPEATED and not held:
        yield (
            f"{said}, and nothing is held out: beyond about {REPEATED:.0f} passes what is repeated teaches little "
            "(measured on text, Muennighoff et al. 2023); hold 5 % out"
        )
    else:
        yield said


def _by_heart(h: History, epochs: Series) -> float:
    """Return by how much the loss falls where a pass over the data begins, if it does so each time; else 0."""
    loss = h.get("loss", least=LEAST)
    if loss is None:
        return 0.0
    number = np.floor(epochs.at(loss.steps))
    starts = [int(i) for i in np.flatnonzero(np.diff(number) > 0) + 1]
    bounds = [0, *starts, len(loss)]
    if not starts or min(np.diff(bounds)[:-1]) < 6:
        return 0.0
    scatter = float(np.median(np.abs(np.diff(loss.values)))) / 0.95
    falls = []
    for before, at, after in zip(bounds, bounds[1:], bounds[2:], strict=False):
        near = max(3, min(at - before, after - at) // 3)
        if after - at < 3:
            continue
        ended = float(np.median(loss.values[at - near : at]))
        began, early = (
            float(np.median(loss.values[at : at + near])),
            float(np.median(loss.values[before : before + near])),
        )
        within = early - ended if before else 0.0
        alone = ended - began - max(0.0, within)
        falls.append(alone / abs(ended) if alone > 2 * scatter / np.sqrt(near) and ended else 0.0)
    return min(falls) if falls and min(falls) > FALLS else 0.0


def _window(h: History, kept: Best | None) -> Iterator[str]:
    """Say between which steps a held-out loss is about as good as at its best."""
    if kept is None or not kept.passed or not kept.signal.startswith("validation/") or kept.signal in HIGHER:
        return
    series = h.finite().signals[kept.signal]
    level = smooth(series.values, 3 if len(series) >= 30 else 1)
    good = level <= kept.value + max(NEAR * abs(kept.value), kept.scatter)
    place = int(np.argmin(np.abs(series.steps - kept.step)))
    if not good[place]:
        return
    first = place - int(np.argmin(good[place::-1])) + 1 if not good[: place + 1].all() else 0
    last = place + int(np.argmin(good[place:])) - 1 if not good[place:].all() else len(good) - 1
    if last > first:
        steps = f"from step {series.steps[first]:.0f} to {series.steps[last]:.0f}"
        yield f"{kept.signal} is within {NEAR:.0%} or its scatter of the best {steps}"


def _slower(clocks: Mapping[str, Series]) -> Iterator[str]:
    """Say since when a step takes longer than at the beginning."""
    for name, series in clocks.items():
        taken = _seconds(name, series)
        if taken is None or len(taken) < LEAST:
            continue
        quarter = len(taken) // 4
        early, late = taken.values[len(taken) // 20 :][:quarter], taken.values[-quarter:]
        before, now = float(np.median(early)), float(np.median(late))
        scatter = float(np.median(np.abs(early - before))) + float(np.median(np.abs(late - now)))
        if before > 0 and now > SLOWER * before and now - before > 3 * scatter:
            since = taken.steps[int(np.argmax(smooth(taken.values, 5) > (before + now) / 2))]
            yield (
                f"a step takes {now / before:.1f} times as long as at the beginning, since about step {since:.0f} "
                f"({name.removeprefix('speed/')}): look for something that grows (losses kept with their graphs, a list of samples), "
                "or a machine that throttles or is shared"
            )
            return


def _seconds(name: str, series: Series) -> Series | None:
    """Return the time of a step, in units of the clock; None if this is no clock."""
    plain = name.lower().removeprefix("speed/").strip()
    if re.search(A_SECOND, plain):
        return Series(series.steps, 1 / np.maximum(series.values, 1e-12))
    if re.search(SINCE_START, plain) and len(series) > 2 and np.all(np.diff(series.values) > 0):
        return Series(series.steps[1:], np.diff(series.values) / np.diff(series.steps))
    return series if re.search(OF_A_STEP, plain) else None


def _waits(clocks: Mapping[str, Series]) -> Iterator[str]:
    """Say that the training waits for data."""
    data = next(
        (s for n, s in clocks.items() if re.search(OF_DATA, n.lower().removeprefix("speed/")) and len(s) >= LEAST), None
    )
    step = next(
        (s for n, s in clocks.items() if re.search(OF_A_STEP, n.lower().removeprefix("speed/")) and len(s) >= LEAST),
        None,
    )
    if data is None or step is None:
        return
    waited, whole = float(np.median(data.values)), float(np.median(step.values))
    share = waited / (whole if whole >= waited else whole + waited) if waited > 0 else 0.0
    if share > WAITS:
        yield f"a step waits for data for {share:.0%} of its time: use more workers, or cache what is decoded"

"""Causes in the data: too few images, too many epochs, wrong range, strong augmentation."""

import numpy as np

from trainwright.diagnosis.best import best
from trainwright.diagnosis.definitions import Assessment, Cause, Observation
from trainwright.diagnosis.history import History

FEW = 300


def _few(h: History, observation: Observation) -> Assessment | None:
    n = h.facts.get("training")
    if n is None:
        return Assessment(0.3, "the number of training images is not known")
    if n < FEW:
        return Assessment(min(0.95, 0.6 + 0.35 * (1 - n / FEW)), f"there are only {n} training images")
    return Assessment(0.2, f"there are {n} training images")


def _long(h: History, observation: Observation) -> Assessment | None:
    n, batch = h.facts.get("training"), h.number("batch_size")
    if not n or not batch:
        kept = best(h)
        if kept is None or not kept.passed or kept.step > 0.9 * h.now:
            return None
        return Assessment(
            0.6,
            f"{kept.signal} was lowest at step {kept.step:.0f} of {h.now:.0f}, at {kept.value:.4g}, and is {kept.last:.4g} now",
            f"keep the checkpoint of step {kept.step:.0f}, and stop there; more data or augmentation let it train for longer",
        )
    passes = h.now * batch / n
    return Assessment(0.45 if passes > 100 else 0.15, f"training has run for {passes:.0f} epochs")


def _range(h: History, observation: Observation) -> Assessment | None:
    spread = h.get("data/std", least=4)
    if spread is not None:
        since = spread.steps >= observation.onset
        if since.any() and not since.all():
            before, now = (float(np.median(spread.values[part])) for part in (~since, since))
            if max(before, now) > 1.5 * min(before, now):
                return Assessment(
                    0.9,
                    f"batches have a standard deviation of {now:.3g} since step {observation.onset:.0f}, before {before:.3g}",
                )
    ratio = h.get("samples/range_ratio")
    if ratio is not None and observation.evidence and "samples/" in observation.evidence[0].signal:
        apart = max(ratio.last, 1 / max(ratio.last, 1e-9))
        if apart > 1.8:
            return Assessment(
                0.85,
                f"the range of the samples is {ratio.last:.2g} times that of real: one of them is scaled differently",
            )
    low, high = h.facts.get("data_range", (None, None))
    if low is None:
        return None
    if max(abs(low), abs(high)) > 1.5 or high - low < 0.5:
        return Assessment(0.9, f"the data lie in [{low:.3g}, {high:.3g}], the outputs in [-1, 1]")
    if low > -0.3 and observation.evidence and "samples/" in observation.evidence[0].signal:
        return Assessment(
            0.88, f"the data lie in [{low:.3g}, {high:.3g}] and the outputs in [-1, 1]: the scaling differs"
        )
    return None


def _augmentation(h: History, observation: Observation) -> Assessment | None:
    jitter = h.setting("data.augment.color_jitter", "color_jitter")
    strong = bool(jitter) and max(jitter) > 0.15
    return Assessment(0.7, f"color_jitter is {jitter}, so samples reproduce the jittered colours") if strong else None


def _other_data(h: History, observation: Observation) -> Assessment | None:
    """Weigh that losses differ from the first readings on although everything else that is logged is equal."""
    if h.baseline is None:
        return None
    for name, series in h.match("lr/"):
        other = h.baseline.signals.get(f"lr/{name}")
        if other is not None:
            apart = np.abs(series.values - other.at(series.steps))
            if float(np.nanmax(apart)) > 0.02 * float(np.abs(other.values).max()):
                return Assessment(
                    0.15, f"the learning rate differs too: {series.values.max():.3g} and {other.values.max():.3g}"
                )
    early = observation.onset <= h.first + 0.1 * (h.now - h.first)
    if early:
        return Assessment(
            0.75, "the loss is higher from the first readings on, with the same learning rate as far as it is logged"
        )
    return Assessment(0.3, "the loss was as in the baseline at first")


def _other_rate(h: History, observation: Observation) -> Assessment | None:
    if h.baseline is None:
        return None
    for name, series in h.match("lr/"):
        other = h.baseline.signals.get(f"lr/{name}")
        if other is None or not other.values.any():
            continue
        ratio = float(series.values.max()) / float(other.values.max())
        if not 0.5 < ratio < 2:
            usual = float(other.values.max())
            return Assessment(
                0.9,
                f"the learning rate reaches {series.values.max():.3g}, and {usual:.3g} in the baseline",
                f"set the learning rate to {usual:.3g}, as in the baseline",
            )
    return None


CAUSES = [
    Cause(
        name="data_differs",
        title="the data or labels differ from the baseline's",
        of=("worse_than_baseline",),
        assess=_other_data,
        advice="look at a few inputs beside their labels in both runs: shuffled labels, another preprocessing, another tokenizer",
    ),
    Cause(
        name="rate_differs",
        title="the learning rate differs from the baseline's",
        of=("worse_than_baseline",),
        assess=_other_rate,
        advice="use the learning rate of the baseline",
    ),
    Cause(
        name="few_images",
        title="there are too few images",
        of=("memorisation", "overfitting", "critic_dominance", "mode_dropping"),
        assess=_few,
        advice="add images, or augment real and generated ones alike",
    ),
    Cause(
        name="trained_too_long",
        title="training has run for too many epochs",
        of=("memorisation", "overfitting"),
        assess=_long,
        advice="stop at the best held-out value",
    ),
    Cause(
        name="data_range",
        title="the data are not in the range of the output",
        of=(
            "off_data",
            "colour_cast",
            "exploding",
            "non_finite",
            "critic_dominance",
            "plateau",
            "mode_collapse",
            "spike",
        ),
        assess=_range,
        advice="scale the data to the range of the output",
    ),
    Cause(
        name="colour_jitter",
        title="colour augmentation is too strong",
        of=("colour_cast",),
        assess=_augmentation,
        advice="reduce the colour augmentation",
    ),
]

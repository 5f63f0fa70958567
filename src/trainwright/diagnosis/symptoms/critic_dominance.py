"""Critic dominance: real and generated images are separated so well that the generator gets no useful gradient."""

import math
import re

import numpy as np

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Stretch,
    Symptom,
    Unknown,
    evidence,
    observation,
    persistent,
    smooth,
    thin,
    warmed_up,
)
from trainwright.diagnosis.history import History, Series

SIDE = re.compile(r"(\w*?)([Dd])_(\w{1,8})$")  # a discriminator of one side, such as loss_D_A
BOUNDS = {
    "d_term": Bound(
        0.1,
        "cross-entropy of the discriminator per term; ln 2 = 0.693 is chance level",
        "the video VAE-GAN guide: the loss goes to zero",
    ),
    "g_term": Bound(3.0, "the generator's cross-entropy", "ours"),
    "square": Bound(0.02, "squared error of a discriminator below which it is always right", "ours"),
    "vanished": Bound(0.05, "loss of a discriminator of unknown kind, if it is never negative", "ours"),
    "certain": Bound(
        10.0,
        "loss of a generator that has grown, whatever it was early",
        "ours; a cross-entropy of 10 is a share of 5e-5",
    ),
    "beginning": Bound(0.1, "the same loss over its first readings", "ours"),
    "always": Bound(
        0.6, "share of the readings, of the run and of its second half, at which it is there from the start", "ours"
    ),
    "for_long": Bound(0.15, "share of the readings for which it has been there, whatever the generator's loss", "ours"),
    "grown": Bound(1.5, "the generator's loss over its early level, beside it", "ours"),
    "growth": Bound(
        1.5,
        "Wasserstein estimate on held-out data over its lowest value after the warm-up",
        "authors of WGAN-GP: it should fall",
    ),
    "warm_up": Bound(
        0.15, "share of the planned steps in which a large early estimate is healthy", "authors of WGAN-GP"
    ),
    "steps": Bound(
        1000, "steps in which the estimate also grows in healthy runs", "improved_wgan_training issues 17 and 44"
    ),
    "memory": Bound(
        0.5,
        "share of the estimate on training data that is missing on held-out data",
        "ours; improved_wgan_training issue 44",
    ),
    "readings": Bound(4, "consecutive readings", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect a discriminator loss near 0 (BCE), or a Wasserstein estimate that grows or does not generalise."""
    judged = _bce(h), _won(h), _always(h), _squares(h), _sides(h), _wasserstein(h)
    if all(isinstance(j, Unknown) for j in judged):
        return judged[-1]
    return next((j for j in judged if j is not None and not isinstance(j, Unknown)), None)


def _always(h: History) -> Judgement:
    """Detect, for losses that are never negative, a discriminator that has been right nearly always and from the start."""
    d, g = h.get("discriminator/loss", least=12), h.get("generator/adversarial", "generator/loss", least=12)
    if d is None or g is None or h.facts.get("adversarial") is not None or "reconstruction/weighted" in h.signals:
        return Unknown("the losses of discriminator and generator, with their kind")
    d = thin(d)
    beside = np.nan_to_num(g.at(d.steps))
    if d.values.min() < 0 or beside.min() < 0 or not d.values[: len(d) // 4].any():
        return None
    right = (d.values < BOUNDS["vanished"].value) & (beside > BOUNDS["g_term"].value)
    late = right[len(right) // 2 :]
    if min(right.mean(), late.mean()) < BOUNDS["always"].value:
        return None
    first = int(np.argmax(right))
    stretch = Stretch(
        float(d.steps[first]), float(d.steps[min(first + 8, len(d) - 1)]), float(d.steps[-1]), first, len(d) - 1
    )
    return observation(
        stretch,
        "sick",
        evidence(
            "discriminator/loss",
            d,
            stretch,
            BOUNDS["vanished"].value,
            "the discriminator's loss is {value}, near 0, all the time",
        ),
        evidence(
            g_name(h), g, stretch, BOUNDS["g_term"].value, "the generator's loss is {value} (healthy: below {against})"
        ),
    )


def _sides(h: History) -> Judgement:
    """Detect that one of several discriminators is always right: D_A and G_A of a CycleGAN, by squares or cross-entropy."""
    judged = False
    for name, d in h.match("other/"):
        found = SIDE.match(name)
        g = h.get(f"other/{found[1]}{'G' if found[2] == 'D' else 'g'}_{found[3]}", least=12) if found else None
        if g is None or len(d) < 12 or min(d.values.min(), g.values.min()) < 0:
            continue
        judged = True
        d = thin(d)
        beside = smooth(np.nan_to_num(g.at(d.steps)), 5)
        lost = (np.abs(beside - 1) < 2 * BOUNDS["square"].value) | (beside > BOUNDS["g_term"].value)
        stretch = persistent(
            d.steps, (smooth(d.values, 5) < BOUNDS["square"].value) & lost, math.ceil(BOUNDS["for_long"].value * len(d))
        )
        if stretch is not None:
            said = f"{name} is {{value}}: one of the discriminators is always right"
            return observation(stretch, "sick", evidence(f"other/{name}", d, stretch, BOUNDS["square"].value, said))
    return None if judged else Unknown("the losses of each discriminator and generator")


def _squares(h: History) -> Judgement:
    """Detect squared errors of a discriminator that is always right: its terms are 0, and the generator's is 1."""
    real, fake = h.get("discriminator/real", least=8), h.get("discriminator/fake", least=8)
    g = h.get("generator/adversarial", least=8)
    if real is None or fake is None or g is None or h.facts.get("adversarial") is not None:
        return Unknown("the losses of discriminator and generator, with their kind")
    real = thin(real)
    both = np.maximum(real.values, fake.at(real.steps))
    right = (smooth(both, 5) < BOUNDS["square"].value) & (
        np.abs(smooth(g.at(real.steps), 5) - 1) < BOUNDS["square"].value
    )
    stretch = persistent(real.steps, right, math.ceil(BOUNDS["for_long"].value * len(real)))
    if stretch is None:
        return None
    said = (
        "the discriminator's squared error is {value} on real data and no larger on samples, and the generator's is 1"
    )
    return observation(stretch, "suspect", evidence("discriminator/real", real, stretch, BOUNDS["square"].value, said))


def _won(h: History) -> Judgement:
    """Detect, for a loss that is never negative, that the discriminator's vanishes while the generator's has grown, or for long."""
    d, g = h.get("discriminator/loss", least=8), h.get("generator/adversarial", "generator/loss", least=8)
    if (
        d is None
        or g is None
        or h.facts.get("adversarial") not in (None, "hinge")
        or "reconstruction/weighted" in h.signals
    ):
        return Unknown("the losses of discriminator and generator, with their kind")
    d, beside = thin(d), np.nan_to_num(g.at(thin(d).steps))
    if d.values.min() < 0:
        return Unknown("the kind of the adversarial loss")
    wide = 2 * (len(d) // 40) + 3
    level, start = smooth(d.values, wide), float(np.median(d.values[: max(3, len(d) // 50)]))
    early = float(np.median(beside[: max(5, len(d) // 5)]))
    gone = (level < BOUNDS["vanished"].value) & (level < BOUNDS["beginning"].value * start)
    grown = smooth(beside, wide) > max(BOUNDS["g_term"].value + 1, BOUNDS["grown"].value * early)
    grown |= smooth(beside, wide) > BOUNDS["certain"].value
    for bad, share in ((gone & grown, 0.15), (gone & (beside > 0), BOUNDS["for_long"].value)):
        stretch = persistent(
            d.steps, bad, max(int(BOUNDS["readings"].value) * (2 if len(d) >= 40 else 1), math.ceil(share * len(d)))
        )
        if stretch is not None:
            said = f"the discriminator's loss is {{value}}, near 0; it began at {start:.3g}"
            return observation(
                stretch,
                "sick",
                evidence("discriminator/loss", d, stretch, BOUNDS["vanished"].value, said),
                evidence(g_name(h), g, stretch, early, "the generator's loss is {value}, early in the run {against}"),
            )
    return None


def g_name(h: History) -> str:
    """Return the name of the generator's adversarial loss."""
    return "generator/adversarial" if "generator/adversarial" in h.signals else "generator/loss"


def _bce(h: History) -> Judgement:
    d, g = h.get("discriminator/term", least=8), h.get("generator/adversarial", least=8)
    if d is None or g is None or h.facts.get("adversarial", "bce") != "bce":
        return Unknown("the cross-entropies of discriminator and generator")
    d = thin(d)
    bad = (smooth(d.values, 3) < BOUNDS["d_term"].value) & (smooth(g.at(d.steps), 3) > BOUNDS["g_term"].value)
    late = d.steps > 0.05 * h.budget
    stretch = persistent(d.steps, bad & late, max(int(BOUNDS["readings"].value), math.ceil(0.05 * len(d))))
    if stretch is None:
        return None
    return observation(
        stretch,
        "sick",
        evidence(
            "discriminator/term",
            d,
            stretch,
            BOUNDS["d_term"].value,
            "the discriminator's cross-entropy is {value} per term (chance level: 0.69)",
        ),
        evidence(
            "generator/adversarial",
            g,
            stretch,
            BOUNDS["g_term"].value,
            "the generator's cross-entropy is {value}, so its samples are recognised as fake (healthy: below {against})",
        ),
    )


def _wasserstein(h: History) -> Judgement:
    estimate = h.get("critic/wasserstein_heldout", least=4)
    trained = h.get("critic/wasserstein_train", least=4)
    if estimate is None:
        return Unknown("the critic's Wasserstein estimate on held-out data, over at least 4 readings")
    begin = max(warmed_up(h, BOUNDS["warm_up"].value), BOUNDS["steps"].value)
    if h.now <= begin:
        return Unknown(f"a run of more than {begin:.0f} steps; before that, a growing Wasserstein estimate is healthy")
    after = estimate.steps > begin
    smoothed = smooth(estimate.values, 3)
    level = np.minimum.accumulate(np.where(after, smoothed, np.inf))  # lowest value since the warm-up
    early = float(np.max(smoothed[~after])) if (~after).any() else 0.0
    grown = after & (smoothed > BOUNDS["growth"].value * np.maximum(level, 0)) & (smoothed > max(early, 0.0))
    grown &= np.arange(len(after)) > 4
    stretch = persistent(estimate.steps, grown, int(BOUNDS["readings"].value))
    if stretch is not None:
        lowest = float(level[-1])
        said = f"the held-out Wasserstein estimate has risen to {{value}} instead of falling (lowest value before: {lowest:.3g})"
        return observation(stretch, "sick", evidence("critic/wasserstein_heldout", estimate, stretch, lowest, said))
    if trained is None:
        return None
    memory = 1 - smooth(estimate.at(trained.steps), 3) / np.maximum(smooth(trained.values, 3), 1e-9)
    bad = (memory > BOUNDS["memory"].value) & (trained.steps > begin) & (trained.values > 0)
    stretch = persistent(trained.steps, bad, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = (
        "a share of {value} of the Wasserstein estimate on training images is missing on held-out images "
        "(healthy: below {against}): the critic memorises"
    )
    series = Series(trained.steps, memory)
    return observation(stretch, "sick", evidence("critic/heldout_gap", series, stretch, BOUNDS["memory"].value, said))


SYMPTOM = Symptom(
    name="critic_dominance",
    title="the critic dominates the generator",
    what="The critic separates samples from real images so well that the generator gets no useful gradient.",
    measured="Cross-entropy: a discriminator loss near 0 for long, with a high generator loss. Wasserstein: the trend of the "
    "held-out estimate after its warm-up, and the share of the training estimate that is missing on held-out data. "
    "A large early estimate is healthy.",
    bounds=BOUNDS,
    kinds=("adversarial",),
    detect=detect,
    speed="fast",
    advice="give the discriminator less: halve its learning rate, smooth its labels, or augment real images and samples alike",
    explains=("mode_dropping", "colour_cast", "blur", "checkerboard"),
)

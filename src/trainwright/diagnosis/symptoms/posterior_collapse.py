"""Posterior collapse: z carries no information about the image."""

import numpy as np

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Severity,
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

YOUNG = 100  # steps
BOUNDS = {
    "active_share": Bound(
        0.02,
        "share of dimensions whose posterior mean varies with the image (variance above 0.01)",
        "Burda et al. 2016",
    ),
    "nats": Bound(
        0.1, "total KL in nats per image", "ours; the Gaussian VAE guide reports 0.06, which is a mean over dimensions"
    ),
    "floor": Bound(5e-3, "KL in any unit: as a mean over dimensions or over all numbers it would be as little", "ours"),
    "none": Bound(1e-5, "KL in any unit, below which few readings are enough", "ours"),
    "fallen": Bound(1e-3, "KL over its highest value, with an error that does not fall any more", "ours"),
    "shuffled": Bound(1.05, "error with the z of another image over the error with its own z", "ours"),
    "warm_up": Bound(0.05, "share of the planned steps before the first judgement", "ours"),
    "readings": Bound(2, "consecutive readings", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect a KL near 0 or no active units, with a decoder that does as well with the z of another image.

    If the decoder receives all inputs of the encoder, it is only a suspicion: the output may not need z.
    """
    if h.now - h.first < YOUNG and h.readings < 8 and not h.facts.get("log"):
        return Unknown("a longer run")
    active, nats = h.get("latent/active_share"), h.get("kl/nats_heldout", "kl/nats")
    shuffled = h.get("latent/shuffled_error_ratio")
    if nats is None and active is None:
        raw = h.get("kl/raw")
        if raw is not None and 0 <= float(raw.values.max()) < BOUNDS["none"].value:
            whole = Stretch(float(raw.steps[0]), float(raw.steps[-1]), float(raw.steps[-1]), 0, len(raw) - 1)
            said = "the KL term is {value} in every reading, near 0 in any unit"
            return observation(whole, "sick", evidence("kl/raw", raw, whole, BOUNDS["none"].value, said))
        if raw is not None and len(raw) >= 6:
            return _floor(h, raw)
        return Unknown("the KL in nats per image, or the number of active units")
    base = thin(nats if nats is not None else active)  # type: ignore[arg-type]
    late = base.steps > h.first + warmed_up(h, BOUNDS["warm_up"].value)
    name = "kl/nats_heldout" if "kl/nats_heldout" in h.signals else "kl/nats"
    bad = np.ones(len(base), dtype=bool)
    reported = []  # evidence at the newest reading
    if nats is not None:
        low = smooth(nats.at(base.steps), 2) < BOUNDS["nats"].value
        bad &= low
        if low[-1]:
            reported.append(
                (name, nats, BOUNDS["nats"].value, "the KL is {value} nats per image (collapsed: below {against})")
            )
    if active is not None:
        few = active.at(base.steps) <= BOUNDS["active_share"].value
        bad = (bad | few) if shuffled is not None else (bad & few)
        if few[-1]:
            said = "a share of {value} of the latent dimensions is active (healthy: above {against})"
            reported.append(("latent/active_share", active, BOUNDS["active_share"].value, said))
    if shuffled is not None:
        bad &= np.nan_to_num(shuffled.at(base.steps), nan=1.0) < BOUNDS["shuffled"].value
        said = "the error with the z of another image is {value} times the error with its own z (collapsed: below {against})"
        reported.append(("latent/shuffled_error_ratio", shuffled, BOUNDS["shuffled"].value, said))
    stretch = persistent(base.steps, bad & late, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    severity: Severity = "suspect" if h.facts.get("decoder_is_told") else "sick"
    return observation(stretch, severity, *(evidence(n, s, stretch, a, t) for n, s, a, t in reported))


def _floor(h: History, raw: Series) -> Judgement:
    """Detect a KL term that is near 0 in whatever unit it is logged, while its weight is not."""
    raw = thin(raw)
    low = (smooth(raw.values, 3) < BOUNDS["floor"].value) & (raw.values > -BOUNDS["floor"].value)
    if not _improving(h):
        low |= (smooth(raw.values, 3) < 10 * BOUNDS["floor"].value) & (
            raw.values < BOUNDS["fallen"].value * np.maximum.accumulate(raw.values)
        )
    late = raw.steps > h.first + warmed_up(h, BOUNDS["warm_up"].value)
    stretch = persistent(raw.steps, low & late, 2 * int(BOUNDS["readings"].value))
    if stretch is None:
        if not low[-3:].any() and raw.last > 20 * BOUNDS["floor"].value:
            return None
        return Unknown("the KL in nats per image, or the number of active units")
    said = "the KL term is {value}, near 0 in any unit (collapsed: below {against})"
    return observation(stretch, "sick", evidence("kl/raw", raw, stretch, BOUNDS["floor"].value, said))


def _improving(h: History) -> bool:
    """True if the reconstruction error still fell in the second half of the run, by more than a twentieth."""
    error = h.get("reconstruction/weighted", "validation/reconstruction", least=12)
    if error is None:
        return True
    half = len(error) // 2
    before, now = float(np.median(error.values[half // 2 : half])), float(np.median(error.values[-max(3, half // 2) :]))
    return now < before - 0.05 * abs(before)


SYMPTOM = Symptom(
    name="posterior_collapse",
    title="posterior collapse",
    what="The posterior equals the prior for every image, so z carries no information and the decoder ignores it. "
    "If the decoder receives all inputs of the encoder, as in next-frame prediction, it is only a suspicion: "
    "the output may not need z.",
    measured="KL in nats per image (independent of the reduction of the loss), active units, and the error with shuffled z.",
    bounds=BOUNDS,
    kinds=("variational",),
    speed="fast",
    detect=detect,
    advice="divide the KL weight by 10, or raise it from 0 during training; free bits help too",
    explains=(
        "mode_collapse",
        "mode_dropping",
        "blur",
        "colour_cast",
        "variance_collapse",
        "plateau",
        "trivial_baseline",
        "loss_imbalance",
        "prior_hole",
    ),
)

"""Posterior collapse: z says nothing of the image."""

import numpy as np

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Severity,
    Symptom,
    Unknown,
    evidence,
    observation,
    persistent,
    smooth,
    thin,
)
from trainwright.diagnosis.history import History

BOUNDS = {
    "active_share": Bound(
        0.02, "dimensions whose posterior mean varies with the image (variance > 0.01)", "Burda et al. 2016"
    ),
    "nats": Bound(
        0.1, "KL in nats an image, in all", "the Gaussian VAE guide reports 0.06, as a mean over dimensions; ours"
    ),
    "shuffled": Bound(1.05, "error with another image's z over that with its own", "ours"),
    "warm_up": Bound(0.05, "share of the budget before it is judged", "ours"),
    "readings": Bound(2, "readings in a row", "ours"),
}


def detect(h: History) -> Judgement:
    """No active unit or next to no KL, and a decoder that does as well with another image's z.

    Where the decoder sees all that the encoder saw it is a suspicion: one answer to it may be all there is to say.
    """
    active, nats = h.get("latent/active_share"), h.get("kl/nats_heldout", "kl/nats")
    shuffled = h.get("latent/shuffled_error_ratio")
    if nats is None and active is None:
        return Unknown("the KL in nats an image, or the active units")
    base = thin(nats if nats is not None else active)  # type: ignore[arg-type]
    late = base.steps > h.first + BOUNDS["warm_up"].value * h.budget
    name = "kl/nats_heldout" if "kl/nats_heldout" in h.signals else "kl/nats"
    bad = np.ones(len(base), dtype=bool)
    reported = []  # what speaks for it at the newest reading
    if nats is not None:
        low = smooth(nats.at(base.steps), 2) < BOUNDS["nats"].value
        bad &= low
        if low[-1]:
            reported.append(
                (name, nats, BOUNDS["nats"].value, "z carries {value} nats an image (collapsed: below {against})")
            )
    if active is not None:
        few = active.at(base.steps) <= BOUNDS["active_share"].value
        bad = (bad | few) if shuffled is not None else (bad & few)
        if few[-1]:
            said = "{value} of the latent dimensions are active (healthy: above {against})"
            reported.append(("latent/active_share", active, BOUNDS["active_share"].value, said))
    if shuffled is not None:
        bad &= np.nan_to_num(shuffled.at(base.steps), nan=1.0) < BOUNDS["shuffled"].value
        said = "another image's z does as well: error ratio {value}"
        reported.append(("latent/shuffled_error_ratio", shuffled, BOUNDS["shuffled"].value, said))
    stretch = persistent(base.steps, bad & late, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    severity: Severity = "suspect" if h.facts.get("decoder_is_told") else "sick"
    return observation(stretch, severity, *(evidence(n, s, stretch, a, t) for n, s, a, t in reported))


SYMPTOM = Symptom(
    name="posterior_collapse",
    title="posterior collapse",
    what="The posterior equals the prior for every image, so the latent says nothing and the decoder gives one answer. "
    "A suspicion only where the decoder gets all that the encoder gets, as in the prediction of next frames: "
    "one answer may be all there is.",
    measured="KL in nats per image (regardless of the loss's reduction), active units, and the error with shuffled z.",
    bounds=BOUNDS,
    detect=detect,
    explains=(
        "mode_collapse",
        "mode_dropping",
        "blur",
        "colour_cast",
        "variance_collapse",
        "plateau",
        "loss_imbalance",
        "prior_hole",
    ),
)

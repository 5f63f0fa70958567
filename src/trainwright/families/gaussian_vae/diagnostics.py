"""Diagnostics of the Gaussian VAE: a cause in the representation of its data, curves of its report, and its table row."""

from collections.abc import Sequence
from typing import Any

from trainwright.diagnosis.causes.objective import group_weight
from trainwright.diagnosis.definitions import Assessment, Cause, Observation
from trainwright.diagnosis.history import History
from trainwright.engine.charts import Chart

# ---- causes ----------------------------------------------------------------------------------------------------------


def _representation(h: History, observation: Observation) -> Assessment | None:
    form, order = h.setting("form"), h.setting("order")
    weights = group_weight(h, observation)
    if form == "raw" and (weights is None or weights.score < 0.5):
        return Assessment(
            0.9,
            f"form={form}, order={order}: one Gaussian has several descriptions and the order is unstable, so weights cannot help",
        )
    pooled = h.setting("architecture") in ("conv1d", "resnet_conv1d")
    if pooled and (weights is None or weights.score < 0.5):
        return Assessment(0.7, "the encoder averages over all positions before the latent")
    return None


REPRESENTATION = Cause(
    name="representation",
    title="the representation of the data prevents learning of the group",
    of=("loss_imbalance", "plateau"),
    assess=_representation,
)

# ---- charts ----------------------------------------------------------------------------------------------------------

GROUPS = (("places", "xy"), ("scales", "scale"), ("rotation", "rot"), ("colour", "feat"))

CHARTS = (
    Chart(
        "Objective",
        "Training and held-out should fall together. While the KL weight warms up, the total may rise; the last curve is comparable.",
        (
            ("training", "vae/loss"),
            ("held out", "validation/loss"),
            ("held out, full KL weight", "validation/loss_at_full_beta"),
        ),
    ),
    Chart(
        "Squared error of each group",
        "With errors averaged over normalised data, 1.0 means that the mean of the group is predicted and nothing is learned.",
        [(label, f"vae/{name}") for label, name in GROUPS],
    ),
    Chart(
        "Explained variance on held-out images",
        "Beyond the mean of each place. Near 0 the group is not learned, even if its loss is small.",
        [(label, f"r2_beyond_mean/{name}") for label, name in GROUPS],
    ),
    Chart(
        "Spread of the output over that of the data",
        "1 is ideal; near 0 the output is the mean.",
        [(label, f"std_ratio/{name}") for label, name in GROUPS],
    ),
    Chart(
        "KL in nats per image",
        "Information of z about an image. Near 0 the posterior has collapsed.",
        (("training", "kl/nats"), ("held out", "kl/nats_heldout"), ("largest dimension", "kl/largest_dimension")),
        log=True,
    ),
    Chart(
        "Latent dimensions by their KL",
        "Share of dimensions. If all are below 0.01 nats the posterior has collapsed; a few far above 1 may carry all information.",
        (
            ("below 0.001", "kl_histogram/below_0.001"),
            ("0.001 to 0.01", "kl_histogram/0.001_to_0.01"),
            ("0.01 to 0.1", "kl_histogram/0.01_to_0.1"),
            ("0.1 to 1", "kl_histogram/0.1_to_1"),
            ("above 1", "kl_histogram/above_1"),
        ),
    ),
    Chart(
        "Active units and mutual information",
        "Dimensions that vary with the image, and mutual information of z and image in nats, at most ln of the number of images.",
        (("active units", "latent/active_units"), ("mutual information", "latent/mutual_information")),
    ),
    Chart(
        "Rendered reconstructions of held-out images",
        "In dB, compared with the original images.",
        (("PSNR", "rendered/psnr"),),
    ),
)

# ---- the row of a table ----------------------------------------------------------------------------------------------

NAMES = {"xy": "places", "scale": "scales", "rot": "rotation", "feat": "colour"}
LEARNED, NOTHING = (
    0.5,
    0.1,
)  # explained variance beyond each place's mean; 0.1 is the trivial level of 0.9 of the variance
COLLAPSED_NATS = 0.1  # per image, over all dimensions
COLLAPSED_SHARE = 0.1  # a smaller share of active units is a severe collapse (Burda et al. 2016)
UNUSED = 1.05  # error with another image's z over that with its own; below it z is hardly used


def read(rows: Sequence[dict[str, Any]], events: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Read the columns of the Gaussian VAE guide's experiment table.

    Args:
        rows: of ``metrics.jsonl``.
        events: of ``events.jsonl``.

    Returns:
        epochs, KL (nats an image, and as a mean over dimensions), reconstruction, its four terms, and what happened.
    """
    last = _last(rows)
    if "reconstruction/weighted" not in last:
        return {"what happened": "too short to judge"}
    terms = [f"{last[f'validation/{g}']:0.2f}" for g in NAMES if f"validation/{g}" in last]
    return {
        "epochs": f"{last['epoch']:0.0f}",
        "KL, nats": _number(last.get("kl/nats_heldout")),
        "KL, mean of dims": _number(last.get("kl/mean_dimension")),
        "active units": _number(last.get("latent/active_units")),
        "reconstruction": _number(last.get("validation/reconstruction", last["reconstruction/weighted"])),
        "xy / scale / rot / feat": " / ".join(terms),
        "PSNR, dB": _number(last.get("rendered/psnr")),
        "what happened": what_happened(last, events),
    }


def what_happened(last: dict[str, Any], events: Sequence[dict[str, Any]]) -> str:
    """Describe a run in a sentence: use of z, groups that were learned, and how it ended."""
    parts = [_latent(last)]
    learned = [NAMES[g] for g in NAMES if last.get(f"r2_beyond_mean/{g}", 0.0) >= LEARNED]
    missed = [NAMES[g] for g in NAMES if last.get(f"r2_beyond_mean/{g}", 1.0) < NOTHING]
    between = [
        f"{NAMES[g]} partly ({last[key]:0.2f})"
        for g in NAMES
        if (key := f"r2_beyond_mean/{g}") in last and NOTHING <= last[key] < LEARNED
    ]
    found = [*([f"{_and(learned)} learned"] if learned else []), *between]
    found += [f"{_and(missed)} not learned (the mean is predicted)"] if missed else []
    parts += ["; ".join(found)] if found else []
    stop = next((e for e in events if e["event"] == "early_stop"), None)
    if stop is not None:
        parts.append(f"stopped early, best at step {stop['best_step']}")
    return ". ".join(part[0].upper() + part[1:] for part in parts if part) + "."


def _latent(last: dict[str, Any]) -> str:
    nats = last.get("kl/nats_heldout")
    if nats is None:
        return "no images were held out, so unseen images cannot be judged"
    active, share = last["latent/active_units"], last["latent/active_share"]
    if nats < COLLAPSED_NATS or active == 0:
        return (
            f"the posterior collapsed: {nats:0.2g} nats, no active unit"
            if active == 0
            else f"the posterior collapsed: {nats:0.2g} nats"
        )
    if last["latent/shuffled_error_ratio"] < UNUSED:
        return f"z carries {nats:0.0f} nats that the decoder hardly uses"
    if share < COLLAPSED_SHARE:
        return f"most of the posterior collapsed: {active:0.0f} active units carry {nats:0.0f} nats"
    return f"no collapse: {active:0.0f} active units carry {nats:0.0f} nats"


def _last(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the newest value of each signal."""
    newest: dict[str, Any] = {}
    for row in rows:
        newest.update(row)
    return newest


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:0.3g}"

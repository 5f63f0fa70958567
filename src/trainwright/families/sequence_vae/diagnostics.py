"""Diagnostics of the sequence VAE: causes in its decoder, preflight checks, curves of its report, and its table row."""

from collections.abc import Sequence
from typing import Any

from trainwright.diagnosis.checks import Check, PlannedRun
from trainwright.diagnosis.definitions import Assessment, Cause, Observation
from trainwright.diagnosis.history import History
from trainwright.engine.charts import Chart

# ---- causes ----------------------------------------------------------------------------------------------------------


def _averaging(h: History, observation: Observation) -> Assessment | None:
    likelihood, decoder = h.setting("likelihood"), h.setting("model.decoder")
    if likelihood == "gaussian":
        alone = ", without the previous steps" if decoder == "repeat" else ""
        return Assessment(
            0.92,
            f"the likelihood is one Gaussian per step, so each step predicts the mean of all possible points{alone}",
        )
    if decoder == "repeat":
        return Assessment(0.85, "steps are drawn independently, so each may follow a different mode")
    return Assessment(0.3, "the likelihood is unknown") if likelihood is None else None


CAUSES = (
    Cause(
        name="averaging_decoder",
        title="the decoder averages over modes",
        of=("mean_regression",),
        assess=_averaging,
    ),
)

# ---- preflight checks ------------------------------------------------------------------------------------------------


def _sides(p: PlannedRun) -> list[Check]:
    differing = p.facts.get("asymmetric")
    if not differing:
        return []
    said = (
        f"encoder and decoder differ ({differing}); the sequence VAE guide reports worse results than with equal sizes"
    )
    return [Check("sides", "warn", said, "equal sizes, or a plan that compares both")]


def _canvas(p: PlannedRun) -> list[Check]:
    fit, of = p.facts.get("levels_fit", (0, 0))
    if fit == of:
        return []
    said = f"{fit} of {of} different levels fit the canvas of {' x '.join(map(str, p.get('data.size') or ()))} tiles"
    return [Check("canvas", "ok" if fit > 100 else "warn", said, "a larger data.size")]


CHECKS = (_sides, _canvas)

# ---- charts ----------------------------------------------------------------------------------------------------------

CHARTS = (
    Chart(
        "Objective",
        "Training and held-out should fall together. While the KL weight increases, the total may rise.",
        (("training", "vae/loss"), ("held out", "validation/loss")),
    ),
    Chart(
        "Reconstruction",
        "In the reduction of the recipe. A small error says nothing about samples; see the next chart.",
        (("training", "vae/reconstruction"), ("held out", "validation/reconstruction")),
    ),
    Chart(
        "Two-sample ratio",
        "Distance of samples from real levels, over the distance between two sets of real levels: 1 is as good as real. If "
        "reconstructions are near 1 and samples are not, the prior does not match the codes. If both are high, the decoder averages.",
        (("samples", "prior/two_sample_ratio"), ("reconstructions", "reconstructions/two_sample_ratio")),
        log=True,
    ),
    Chart(
        "What is wrong with samples of points",
        "Shares and distances, all 0 for real levels.",
        (
            ("marginals", "prior/marginal_distance"),
            ("number of clusters", "prior/cluster_count_distance"),
            ("out of order", "prior/order_violations"),
        ),
    ),
    Chart(
        "Samples of tiles",
        "Shares of samples; copies should stay near 0.",
        (
            ("valid", "prior/valid_share"),
            ("one player", "prior/one_player_share"),
            ("boxes match goals", "prior/boxes_match_share"),
            ("closed", "prior/closed_share"),
            ("copies", "prior/copy_share"),
        ),
    ),
    Chart(
        "Explained variance on held-out levels",
        "Beyond the mean of each step. Near 0, that axis is not learned.",
        (("x", "r2_beyond_mean/x"), ("y", "r2_beyond_mean/y")),
    ),
    Chart(
        "KL in nats per level",
        "Information of z about a level. Near 0 the posterior has collapsed.",
        (("training", "kl/nats"), ("held out", "kl/nats_heldout"), ("largest dimension", "kl/largest_dimension")),
        log=True,
    ),
    Chart(
        "Active units",
        "Dimensions of z that vary with the level.",
        (("active units", "latent/active_units"),),
    ),
)

# ---- the row of a table ----------------------------------------------------------------------------------------------

COLLAPSED_NATS = 0.1
LIKE_REAL = 1.2  # two-sample ratio


def read(rows: Sequence[dict[str, Any]], events: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Read the columns of the table.

    Args:
        rows: of ``metrics.jsonl``.
        events: of ``events.jsonl``.

    Returns:
        epochs, reconstruction, KL, active units, the two-sample ratio of samples and of reconstructions, and what happened.
    """
    last: dict[str, Any] = {}
    for row in rows:
        last.update(row)
    if "kl/nats_heldout" not in last:
        return {"what happened": "too short to judge"}
    return {
        "epochs": f"{last['epoch']:0.1f}",
        "reconstruction": _number(last.get("validation/element")),
        "KL, nats": _number(last["kl/nats_heldout"]),
        "active units": _number(last.get("latent/active_units")),
        "samples": _number(last.get("prior/two_sample_ratio")),
        "reconstructions": _number(last.get("reconstructions/two_sample_ratio")),
        "what happened": what_happened(last),
    }


def what_happened(last: dict[str, Any]) -> str:
    """Describe a run in a sentence: use of z, and samples and reconstructions compared with real levels."""
    nats = last["kl/nats_heldout"]
    reported = [
        f"the posterior collapsed: {nats:0.2g} nats"
        if nats < COLLAPSED_NATS
        else f"{last['latent/active_units']:0.0f} active units carry {nats:0.0f} nats"
    ]
    samples, again = last.get("prior/two_sample_ratio"), last.get("reconstructions/two_sample_ratio")
    if samples is not None and samples <= LIKE_REAL:
        reported.append("samples are like real levels")
    elif samples is not None:
        why = (
            ""
            if again is None
            else "; reconstructions too: the decoder averages"
            if again > LIKE_REAL * 1.5
            else "; reconstructions are: the prior does not match the codes"
        )
        reported.append(f"samples are {samples:0.1f} times as far from real levels as other real levels{why}")
    if "prior/valid_share" in last:
        reported.append(
            f"{last['prior/valid_share']:0.0%} of samples are valid, {last['prior/copy_share']:0.0%} are copies"
        )
    return ". ".join(part[0].upper() + part[1:] for part in reported) + "."


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:0.3g}"

"""What happened in a run, read off its signals: the cells of the comparison's table and a sentence."""

from collections.abc import Sequence
from typing import Any

COLLAPSED_NATS = 0.1
LIKE_REAL = 1.2  # two-sample ratio


def read(rows: Sequence[dict[str, Any]], events: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Columns of the table.

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
        return {"what happened": "not trained long enough to say"}
    return {
        "epochs": f"{last['epoch']:.1f}",
        "reconstruction": _number(last.get("validation/element")),
        "KL, nats": _number(last["kl/nats_heldout"]),
        "active units": _number(last.get("latent/active_units")),
        "samples": _number(last.get("prior/two_sample_ratio")),
        "reconstructions": _number(last.get("reconstructions/two_sample_ratio")),
        "what happened": what_happened(last),
    }


def what_happened(last: dict[str, Any]) -> str:
    """Whether z is used, and how samples and reconstructions stand beside real levels."""
    nats = last["kl/nats_heldout"]
    reported = [
        f"the posterior collapsed: {nats:.2g} nats"
        if nats < COLLAPSED_NATS
        else f"{last['latent/active_units']:.0f} active units carry {nats:.0f} nats"
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
            else "; reconstructions are: the prior is not where the codes are"
        )
        reported.append(f"samples are {samples:.1f} times as far from real levels as other real levels{why}")
    if "prior/valid_share" in last:
        reported.append(
            f"{last['prior/valid_share']:.0%} of samples are valid, {last['prior/copy_share']:.0%} are copies"
        )
    return ". ".join(part[0].upper() + part[1:] for part in reported) + "."


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"

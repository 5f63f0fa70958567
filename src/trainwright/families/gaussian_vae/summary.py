"""What happened in a run, read off its signals: the cells of the guide's table and a sentence."""

from collections.abc import Sequence
from typing import Any

NAMES = {"xy": "places", "scale": "scales", "rot": "rotation", "feat": "colour"}
LEARNED, NOTHING = (
    0.5,
    0.1,
)  # explained variance beyond each place's mean; 0.1 is the trivial level of 0.9 of the variance
COLLAPSED_NATS = 0.1  # per image in all
COLLAPSED_SHARE = 0.1  # active units below this share are a severe collapse (Burda et al.)
UNHEARD = 1.05  # error with another image's z over that with its own: z is as good as not used


def read(rows: Sequence[dict[str, Any]], events: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Columns of the guide's experiment table.

    Args:
        rows: of ``metrics.jsonl``.
        events: of ``events.jsonl``.

    Returns:
        epochs, KL (nats an image, and as the guide has it a mean over dimensions), reconstruction, its four terms, and what happened.
    """
    last = _last(rows)
    if "reconstruction/weighted" not in last:
        return {"what happened": "not trained long enough to say"}
    terms = [f"{last[f'validation/{g}']:.2f}" for g in NAMES if f"validation/{g}" in last]
    return {
        "epochs": f"{last['epoch']:.0f}",
        "KL, nats": _number(last.get("kl/nats_heldout")),
        "KL, mean of dims": _number(last.get("kl/mean_dimension")),
        "active units": _number(last.get("latent/active_units")),
        "reconstruction": _number(last.get("validation/reconstruction", last["reconstruction/weighted"])),
        "xy / scale / rot / feat": " / ".join(terms),
        "PSNR, dB": _number(last.get("rendered/psnr")),
        "what happened": what_happened(last, events),
    }


def what_happened(last: dict[str, Any], events: Sequence[dict[str, Any]]) -> str:
    """The sentence: whether z is used, which groups were learned, and how the run ended."""
    parts = [_latent(last)]
    learned = [NAMES[g] for g in NAMES if last.get(f"r2_beyond_mean/{g}", 0.0) >= LEARNED]
    missed = [NAMES[g] for g in NAMES if last.get(f"r2_beyond_mean/{g}", 1.0) < NOTHING]
    between = [
        f"{NAMES[g]} partly ({last[key]:.2f})"
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
        return "nothing was held out, so nothing can be said of unseen images"
    active, share = last["latent/active_units"], last["latent/active_share"]
    if nats < COLLAPSED_NATS or active == 0:
        return (
            f"the posterior collapsed: {nats:.2g} nats, no active unit"
            if active == 0
            else f"the posterior collapsed: {nats:.2g} nats"
        )
    if last["latent/shuffled_error_ratio"] < UNHEARD:
        return f"z carries {nats:.0f} nats that the decoder hardly uses"
    if share < COLLAPSED_SHARE:
        return f"most of the posterior collapsed: {active:.0f} active units carry {nats:.0f} nats"
    return f"no collapse: {active:.0f} active units carry {nats:.0f} nats"


def _last(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The newest value of each signal."""
    newest: dict[str, Any] = {}
    for row in rows:
        newest.update(row)
    return newest


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"

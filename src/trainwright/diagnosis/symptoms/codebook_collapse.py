"""Codebook collapse: a vector-quantised model uses few of its codes."""

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Symptom,
    Unknown,
    evidence,
    observation,
    persistent,
    thin,
    warmed_up,
)
from trainwright.diagnosis.history import History

BOUNDS = {
    "share": Bound(
        0.05,
        "perplexity of the code usage over the number of codes",
        "ours; van den Oord et al. 2017 log the perplexity",
    ),
    "codes": Bound(4.0, "perplexity below which the codes carry almost nothing, where their number is unknown", "ours"),
    "warm_up": Bound(0.15, "share of the planned steps before the first judgement", "ours"),
    "readings": Bound(4, "consecutive readings", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect a perplexity of the code usage far below the number of codes."""
    used = h.get("codebook/perplexity", least=6)
    if used is None or not any(n.startswith("codebook/") and n != "codebook/perplexity" for n in h.signals):
        return Unknown("the perplexity of the codebook's usage and the codebook's loss")
    size = h.number("codebook_size", "num_embeddings", "n_embed")
    limit = max(BOUNDS["codes"].value, BOUNDS["share"].value * size) if size else BOUNDS["codes"].value
    used = thin(used)
    late = used.steps > warmed_up(h, BOUNDS["warm_up"].value)
    stretch = persistent(used.steps, (used.values < limit) & late, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    of = f" of {size:.0f}" if size else ""
    return observation(
        stretch,
        "sick",
        evidence(
            "codebook/perplexity",
            used,
            stretch,
            limit,
            f"as few as {{value}}{of} codes are in use (healthy: above {{against}})",
        ),
    )


SYMPTOM = Symptom(
    name="codebook_collapse",
    title="codebook collapse",
    what="Almost all inputs are mapped to a few codes, so the code carries little.",
    measured="Perplexity of the code usage, over the number of codes if it is known.",
    bounds=BOUNDS,
    detect=detect,
    explains=("blur", "mode_dropping", "mode_collapse", "variance_collapse", "off_data", "plateau"),
)

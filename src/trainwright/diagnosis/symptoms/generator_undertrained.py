"""Undertrained generator: it gets very few updates."""

import numpy as np

from trainwright.diagnosis.definitions import Bound, Evidence, Judgement, Observation, Symptom, Unknown, persistent
from trainwright.diagnosis.history import History

BOUNDS = {
    "ratio": Bound(
        0.06,
        "generator updates over critic updates: 1/5 in the WGAN-GP paper, 1/10 is already slow",
        "Gulrajani et al. 2017; the WGAN-GP guide",
    ),
    "readings": Bound(2, "consecutive epochs", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect a generator with very few updates relative to the critic."""
    g, d = h.get("updates_per_epoch/generator"), h.get("updates_per_epoch/critic", "updates_per_epoch/discriminator")
    if g is None or d is None:
        return Unknown("the updates of generator and critic in each epoch")
    n = min(len(g), len(d))
    total = np.cumsum(g.values[:n]) / np.maximum(np.cumsum(d.values[:n]), 1)
    stretch = persistent(g.steps[:n], total <= BOUNDS["ratio"].value, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    value = float(total[-1])
    said = f"the generator got {g.values[:n].sum():.0f} updates, the critic {d.values[:n].sum():.0f} (usual: 1 per 5)"
    seen = Evidence("updates_per_epoch/generator", value, BOUNDS["ratio"].value, said, stretch.onset, stretch.end)
    return Observation(stretch.onset, stretch.alarm, "sick" if value == 0 else "suspect", (seen,))


SYMPTOM = Symptom(
    name="generator_undertrained",
    title="too few generator updates",
    what="The generator is updated so rarely that it cannot follow the critic.",
    measured="Generator updates over critic updates since the start of the run.",
    bounds=BOUNDS,
    kinds=("adversarial",),
    detect=detect,
    speed="fast",
    explains=(
        "mode_collapse",
        "mode_dropping",
        "colour_cast",
        "blur",
        "checkerboard",
        "critic_dominance",
        "ema_lag",
    ),
    certain=True,
)

"""Hyperbolic models: points sit at the ball's boundary."""

from trainwright.diagnosis.definitions import Bound, Judgement, Symptom, Unknown, evidence, observation, persistent
from trainwright.diagnosis.history import History

BOUNDS = {
    "share": Bound(
        0.05,
        "share of points clamped to the boundary",
        "ours; the video VAE-GAN guide: check inputs to hyperbolic functions",
    ),
    "readings": Bound(2, "readings in a row", "ours"),
}


def detect(h: History) -> Judgement:
    """Many points had to be clamped."""
    share = h.get("hyperbolic/boundary_share")
    if share is None:
        return Unknown("the share of points at the boundary of the ball")
    stretch = persistent(share.steps, share.values > BOUNDS["share"].value, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = "{value} of the points are at the boundary of the ball, where gradients vanish (healthy: below {against})"
    return observation(
        stretch, "sick", evidence("hyperbolic/boundary_share", share, stretch, BOUNDS["share"].value, said)
    )


SYMPTOM = Symptom(
    name="ball_boundary",
    title="points at the ball's boundary",
    what="Points of a hyperbolic latent are clamped to the boundary, where distances explode and gradients vanish.",
    measured="Share of points that had to be clamped.",
    bounds=BOUNDS,
    detect=detect,
)

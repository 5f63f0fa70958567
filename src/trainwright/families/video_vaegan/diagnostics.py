"""What only the video VAE-GAN can show: points at the boundary of a hyperbolic ball, and the curves of its report."""

from trainwright.diagnosis.definitions import (
    Assessment,
    Bound,
    Cause,
    Judgement,
    Observation,
    Symptom,
    Unknown,
    evidence,
    observation,
    persistent,
)
from trainwright.diagnosis.history import History
from trainwright.engine.charts import Chart

BALL_BOUNDARY_BOUNDS = {
    "share": Bound(
        0.05,
        "share of points clamped to the boundary",
        "ours; the video VAE-GAN guide: check inputs to hyperbolic functions",
    ),
    "readings": Bound(2, "readings in a row", "ours"),
}


def _ball_boundary(h: History) -> Judgement:
    """Many points had to be clamped."""
    share = h.get("hyperbolic/boundary_share")
    if share is None:
        return Unknown("the share of points at the boundary of the ball")
    stretch = persistent(
        share.steps, share.values > BALL_BOUNDARY_BOUNDS["share"].value, int(BALL_BOUNDARY_BOUNDS["readings"].value)
    )
    if stretch is None:
        return None
    said = "{value} of the points are at the boundary of the ball, where gradients vanish (healthy: below {against})"
    return observation(
        stretch,
        "sick",
        evidence("hyperbolic/boundary_share", share, stretch, BALL_BOUNDARY_BOUNDS["share"].value, said),
    )


BALL_BOUNDARY = Symptom(
    name="ball_boundary",
    title="points at the ball's boundary",
    what="Points of a hyperbolic latent are clamped to the boundary, where distances explode and gradients vanish.",
    measured="Share of points that had to be clamped.",
    bounds=BALL_BOUNDARY_BOUNDS,
    detect=_ball_boundary,
)


def _curvature(h: History, observation: Observation) -> Assessment | None:
    return Assessment(0.5, "curvatures or inputs of the hyperbolic maps are too large")


CURVATURE = Cause(
    name="curvature", title="curvature or inputs of hyperbolic maps", of=("ball_boundary",), assess=_curvature
)

CHARTS = (
    Chart(
        "Predictions of held-out windows",
        "PSNR in dB over all of them, and that of copying the last given frame: below it the network is worse than nothing.",
        (("prediction", "prediction/psnr"), ("copied last frame", "prediction/copy_psnr")),
    ),
    Chart(
        "Sharpness of predictions",
        "Squared distance of packaged features from the truth's: blurred predictions are far, even with a high PSNR.",
        (
            ("prediction", "prediction/feature_distance"),
            ("copied last frame", "prediction/copy_feature_distance"),
        ),
    ),
    Chart(
        "Reconstruction",
        "Mean squared error in [-1, 1]: 0.15 is 14.3 dB, 0.10 is 16 dB, 0.063 is 18 dB.",
        (("training", "generator/reconstruction"),),
    ),
    Chart(
        "KL and its weight",
        "Nats that the latent says of a clip; its weight rises in phases.",
        (("KL, nats", "kl/nats"), ("weight", "weight/generator/kl")),
    ),
    Chart(
        "Discriminator and generator",
        "Cross-entropies: 0.69 is a guess. The discriminator's is usually between 0.3 and 0.65.",
        (("discriminator", "discriminator/term"), ("generator", "generator/adversarial")),
    ),
    Chart(
        "Points at the boundary",
        "Share of the nesting's points in the outermost hundredth of their ball, where gradients vanish.",
        (("share", "hyperbolic/boundary_share"),),
    ),
)

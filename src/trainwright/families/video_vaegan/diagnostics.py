"""Diagnostics of the video VAE-GAN: points at the boundary of a hyperbolic ball, and the curves of its report."""

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
        "ours; the video VAE-GAN guide advises to check inputs of hyperbolic functions",
    ),
    "readings": Bound(2, "consecutive readings", "ours"),
}


def _ball_boundary(h: History) -> Judgement:
    """Detect that many points were clamped to the boundary."""
    share = h.get("hyperbolic/boundary_share")
    if share is None:
        return Unknown("the share of points at the boundary of the ball")
    stretch = persistent(
        share.steps, share.values > BALL_BOUNDARY_BOUNDS["share"].value, int(BALL_BOUNDARY_BOUNDS["readings"].value)
    )
    if stretch is None:
        return None
    said = "a share of {value} of the latent points is at the boundary of the ball, where gradients vanish (healthy: below {against})"
    return observation(
        stretch,
        "sick",
        evidence("hyperbolic/boundary_share", share, stretch, BALL_BOUNDARY_BOUNDS["share"].value, said),
    )


BALL_BOUNDARY = Symptom(
    name="ball_boundary",
    title="latent points at the boundary of the hyperbolic ball",
    what="Points of a hyperbolic latent are clamped to the boundary, where distances explode and gradients vanish.",
    measured="Share of points that were clamped.",
    bounds=BALL_BOUNDARY_BOUNDS,
    detect=_ball_boundary,
)


def _curvature(h: History, observation: Observation) -> Assessment | None:
    return Assessment(0.5, "the curvature or the inputs of the hyperbolic maps are probably too large")


CURVATURE = Cause(
    name="curvature",
    title="too large curvature or inputs of the hyperbolic maps",
    of=("ball_boundary",),
    assess=_curvature,
)

CHARTS = (
    Chart(
        "Predictions of held-out windows",
        "PSNR in dB over all windows, and that of copying the last given frame. Below that curve the network is worse than copying.",
        (("prediction", "prediction/psnr"), ("copied last frame", "prediction/copy_psnr")),
    ),
    Chart(
        "Sharpness of predictions",
        "Squared distance of features from those of the true frames. Blurred predictions are far, even with a high PSNR.",
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
        "Information of the latent about a clip in nats; the weight increases in phases.",
        (("KL, nats", "kl/nats"), ("weight", "weight/generator/kl")),
    ),
    Chart(
        "Discriminator and generator",
        "Cross-entropies: 0.69 is chance level. The discriminator's is usually between 0.3 and 0.65.",
        (("discriminator", "discriminator/term"), ("generator", "generator/adversarial")),
    ),
    Chart(
        "Points at the boundary",
        "Share of latent points in the outermost hundredth of their ball, where gradients vanish.",
        (("share", "hyperbolic/boundary_share"),),
    ),
)

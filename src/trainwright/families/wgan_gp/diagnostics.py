"""Curves of a WGAN-GP report; its symptoms and causes are shared by all adversarial families."""

from trainwright.engine.charts import Chart

CHARTS = (
    Chart(
        "Wasserstein estimate, without the penalty",
        "Should rise early and then fall: its trend shows the progress of a WGAN. If held-out is far below training, the critic "
        "memorises its images.",
        (
            ("training batches", "critic/wasserstein"),
            ("training", "critic/wasserstein_train"),
            ("held out", "critic/wasserstein_heldout"),
        ),
    ),
    Chart(
        "Gradient norm at the interpolates",
        "The penalty pulls it to 1. If it is far from 1, the weight of the penalty is too small or too large.",
        (("mean gradient norm", "critic/gradient_norm"), ("penalty", "critic/penalty")),
    ),
    Chart(
        "Losses",
        "The level of the generator's loss means nothing in a WGAN: the critic may add any constant.",
        (("critic", "critic/loss"), ("generator", "generator/loss")),
    ),
    Chart(
        "Updates per epoch",
        "A generator near 0 hardly learns.",
        (("critic", "updates_per_epoch/critic"), ("generator", "updates_per_epoch/generator")),
    ),
)

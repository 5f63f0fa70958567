"""The curves of a sequence VAE's report."""

from trainwright.engine.charts import Chart

CHARTS = (
    Chart(
        "Objective",
        "Training and held-out should fall together. While the KL weight grows the total may rise.",
        (("training", "vae/loss"), ("held out", "validation/loss")),
    ),
    Chart(
        "Reconstruction",
        "In the recipe's reduction. A small error says nothing about samples: look at the next panel.",
        (("training", "vae/reconstruction"), ("held out", "validation/reconstruction")),
    ),
    Chart(
        "Two-sample ratio",
        "How far samples are from real levels, over how far other real levels are: 1 is as good as real. If reconstructions are near 1 "
        "and samples are not, the prior is not where the codes are; if both are far, the decoder averages.",
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
        "Beyond what each step's mean explains; near 0 that axis is not heard.",
        (("x", "r2_beyond_mean/x"), ("y", "r2_beyond_mean/y")),
    ),
    Chart(
        "KL in nats per level",
        "What z says of a level. Near 0 the posterior has collapsed.",
        (("training", "kl/nats"), ("held out", "kl/nats_heldout"), ("largest dimension", "kl/largest_dimension")),
        log=True,
    ),
    Chart(
        "Active units",
        "Dimensions of z that vary with the level.",
        (("active units", "latent/active_units"),),
    ),
)

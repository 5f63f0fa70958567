"""Signals that only this family records; see :mod:`trainwright.runs.signals`."""

from trainwright.runs.signals import Signal

SIGNALS = (
    Signal("vae/reconstruction", "", "lower", "Negative log-likelihood of a level given z, in the recipe's reduction."),
    Signal("vae/kl", "", "", "KL term in the recipe's reduction; `kl/nats` has the unit that does not depend on it."),
    Signal("validation/element", "", "lower", "Held-out error of one element: a point or a tile."),
    Signal(
        "latent/nats_heard",
        "nats",
        "higher",
        "Log-likelihood lost when a level is decoded from the code of another one.",
    ),
    Signal(
        "prior/two_sample_ratio",
        "",
        "1",
        "Energy distance of samples from real levels, over that of other real levels from them.",
    ),
    Signal(
        "prior/structure_ratio",
        "",
        "1",
        "The same for distances to the nearest points, or counts of symbols, which do not depend on the order.",
    ),
    Signal(
        "prior/closeness",
        "",
        "higher",
        "One over the two-sample ratio, at most 1; what treatments and searches judge by.",
    ),
    Signal("prior/marginal_distance", "", "0", "Distance of the distributions of each coordinate."),
    Signal("prior/cluster_count_distance", "", "0", "Distance of the distributions of the number of clusters."),
    Signal("prior/order_violations", "share", "0", "Share of neighbouring points that are out of order in x."),
    Signal("prior/valid_share", "share", "higher", "Share of sampled Sokoban levels that pass every check."),
    Signal("prior/one_player_share", "share", "higher", "Share with exactly one player."),
    Signal("prior/boxes_match_share", "share", "higher", "Share with equal numbers of boxes and goals."),
    Signal("prior/closed_share", "share", "higher", "Share whose walls enclose the player."),
    Signal("prior/copy_share", "share", "0", "Share of samples that are levels of the training data."),
    Signal("prior/symbol_divergence", "nats", "0", "Divergence of the frequencies of symbols."),
    Signal("prior/pattern_divergence", "nats", "0", "Divergence of the frequencies of 2 × 2 patterns."),
    Signal("reconstructions/two_sample_ratio", "", "1", "The two-sample ratio of reconstructions."),
)

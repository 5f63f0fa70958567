"""The curves of a video VAE-GAN report."""

from trainwright.engine.charts import Chart

CHARTS = (
    Chart(
        "Predictions of held-out windows",
        "PSNR in dB over all of them, beside that of copying the last given frame: below it the network is worse than nothing.",
        (("prediction", "prediction/psnr"), ("copied last frame", "prediction/copy_psnr")),
    ),
    Chart(
        "Sharpness of predictions",
        "Squared distance of packaged features from the truth's: blurred predictions are far, whatever their PSNR says.",
        (
            ("prediction", "prediction/feature_distance"),
            ("copied last frame", "prediction/copy_feature_distance"),
        ),
    ),
    Chart(
        "Reconstruction",
        "Mean squared error in [-1, 1]: .15 is 14.3 dB, .10 is 16 dB, .063 is 18 dB.",
        (("training", "generator/reconstruction"),),
    ),
    Chart(
        "KL and its weight",
        "Nats that the latent says of a clip; its weight rises in phases.",
        (("KL, nats", "kl/nats"), ("weight", "weight/generator/kl")),
    ),
    Chart(
        "The game",
        "Cross-entropies: .69 is a guess. The discriminator's is usually between .3 and .65.",
        (("discriminator", "discriminator/term"), ("generator", "generator/adversarial")),
    ),
    Chart(
        "Points at the boundary",
        "Share of the nesting's points in the outermost hundredth of their ball, where gradients vanish.",
        (("share", "hyperbolic/boundary_share"),),
    ),
)

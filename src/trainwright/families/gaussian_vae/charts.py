"""The curves of a Gaussian VAE's report."""

from trainwright.engine.charts import Chart

GROUPS = (("places", "xy"), ("scales", "scale"), ("rotation", "rot"), ("colour", "feat"))

CHARTS = (
    Chart(
        "Objective",
        "Training and held-out should fall together. While the KL weight warms up the total may rise: look at the last line.",
        (
            ("training", "vae/loss"),
            ("held out", "validation/loss"),
            ("held out, full KL weight", "validation/loss_at_full_beta"),
        ),
    ),
    Chart(
        "Squared error of each group",
        "In the guide's reduction, on normalised data, 1.0 means that the group's mean is predicted: nothing learned.",
        [(label, f"vae/{name}") for label, name in GROUPS],
    ),
    Chart(
        "Explained variance on held-out images",
        "Beyond what each place's mean explains; near 0: that group is not heard, whatever its loss says.",
        [(label, f"r2_beyond_mean/{name}") for label, name in GROUPS],
    ),
    Chart(
        "Spread of the output over that of the data",
        "1 is right; near 0 the output is the mean.",
        [(label, f"std_ratio/{name}") for label, name in GROUPS],
    ),
    Chart(
        "KL in nats per image",
        "What z says of an image. Near 0 the posterior has collapsed.",
        (("training", "kl/nats"), ("held out", "kl/nats_heldout"), ("largest dimension", "kl/largest_dimension")),
        log=True,
    ),
    Chart(
        "Latent dimensions by their KL",
        "Share of dimensions; all below 0.01 nats is collapse, a few far above 1 carry everything.",
        (
            ("below .001", "kl_histogram/below_0.001"),
            (".001 to .01", "kl_histogram/0.001_to_0.01"),
            (".01 to .1", "kl_histogram/0.01_to_0.1"),
            (".1 to 1", "kl_histogram/0.1_to_1"),
            ("above 1", "kl_histogram/above_1"),
        ),
    ),
    Chart(
        "Active units and mutual information",
        "Dimensions that vary with the image; nats that z tells of which image it is, at most ln of the number looked at.",
        (("active units", "latent/active_units"), ("mutual information", "latent/mutual_information")),
    ),
    Chart(
        "Rendered reconstructions of held-out images",
        "dB beside the original images.",
        (("PSNR", "rendered/psnr"),),
    ),
)

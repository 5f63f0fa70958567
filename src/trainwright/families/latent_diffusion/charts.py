"""The curves of a latent diffusion report."""

from trainwright.engine.charts import Chart

CHARTS = (
    Chart(
        "Loss",
        "Mean squared error of what the network predicts. It says little about samples; held out rising while training "
        "falls is overfitting.",
        (("training", "unet/loss"), ("held out", "validation/loss")),
    ),
    Chart(
        "Held-out loss by time",
        "From little noise (0) to almost nothing but noise (3). One of them alone that stays high: that part of sampling is untrained.",
        tuple((f"stretch {i}", f"loss_bin/heldout_{i}") for i in range(4)),
    ),
    Chart(
        "Distance of samples over that of real latents",
        "1 is right. Below: samples are alike. Above: they spread further than real ones, which the bare distance praises.",
        (("ratio", "sample_diversity/ratio"),),
    ),
    Chart(
        "Mean squared distance of two latents",
        "The guide's number, beside what it is for real latents.",
        (("samples", "sample_diversity/pairwise_mse_mean"), ("real", "real_diversity/pairwise_mse_mean")),
    ),
    Chart(
        "Reconstructions of held-out images",
        "What the autoencoder loses, no sample of stage two can have.",
        (("PSNR in dB", "reconstructions/psnr"),),
    ),
    Chart(
        "Autoencoder",
        "L1 over all numbers of an image.",
        (("L1", "autoencoder/l1"), ("held out", "validation/l1")),
    ),
)

"""Signals that only this family records; see :mod:`trainwright.runs.signals`."""

from trainwright.runs.signals import Signal

SIGNALS = (
    Signal("autoencoder/l1", "", "lower", "Absolute error of reconstructions."),
    Signal(
        "autoencoder/adversarial", "", "", "Minus the critic's score of reconstructions, where the recipe has a critic."
    ),
    Signal("autoencoder/kl", "", "", "KL term of the autoencoder."),
    Signal("validation/l1", "", "lower", "Absolute error of held-out reconstructions from the posterior mean."),
    Signal("reconstructions/ssim", "", "higher", "Structural similarity of held-out reconstructions."),
    Signal("latent/mean", "", "0", "Mean of the latents before scaling."),
    Signal("latent/std", "", "", "Standard deviation of the latents before scaling."),
    Signal("latent/posterior_std", "", "", "Mean standard deviation of the posterior."),
    Signal(
        "unet/loss",
        "",
        "lower",
        "Loss of the denoiser on training batches; it says little about samples.",
        held_out="validation/loss",
        diagnosed=True,
    ),
    Signal("unet/noise", "", "lower", "Squared error of what the network predicts: noise, velocity or image."),
    Signal("latent/scaled_mean", "", "0", "Mean of the latents that the diffusion is trained on."),
    Signal("latent/scaled_std", "", "1", "Their standard deviation.", diagnosed=True),
    Signal(
        "loss_bin/BIN",
        "",
        "lower",
        "Training or held-out (`heldout_`) error in one quarter of the diffusion times.",
        diagnosed=True,
    ),
    Signal(
        "schedule/train_sample_distance",
        "",
        "0",
        "Largest difference of signal or noise level between training and sampling.",
        diagnosed=True,
    ),
    Signal(
        "sample_diversity/pairwise_mse_STAT",
        "",
        "",
        "Squared distances between the latents of 16 samples: mean, std, min, max.",
        diagnosed=True,
    ),
    Signal(
        "real_diversity/pairwise_mse_STAT",
        "",
        "",
        "The same between real latents, averaged over blocks of 16.",
        diagnosed=True,
    ),
    Signal("sample_diversity/ratio", "", "1", "The mean of the first over that of the second.", diagnosed=True),
    Signal("samples/kid", "×1000", "lower", "Kernel Inception distance in the features of `trainwright evaluate`."),
    Signal("overfit/psnr", "dB", "higher", "In overfitting modes: PSNR of samples to the nearest of the few images."),
    Signal("overfit/decoded_psnr", "dB", "higher", "The same to that image as the autoencoder reconstructs it."),
)

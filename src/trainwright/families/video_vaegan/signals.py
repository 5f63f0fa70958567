"""Signals that only this family records; see :mod:`trainwright.runs.signals`."""

from trainwright.runs.signals import Signal

SIGNALS = (
    Signal("generator/reconstruction", "", "lower", "Squared error of the predicted frames."),
    Signal("generator/kl", "nats", "", "KL divergence of the posterior from the prior."),
    Signal(
        "generator/features",
        "",
        "lower",
        "Distance of predicted frames in packaged features, where the recipe has that term.",
    ),
    Signal(
        "hyperbolic/boundary_share",
        "share",
        "0",
        "Share of points at the boundary of the hyperbolic ball.",
        diagnosed=True,
    ),
    Signal("prediction/psnr", "dB", "higher", "PSNR of the error over all held-out windows."),
    Signal("prediction/psnr_mean", "dB", "higher", "PSNR of each window, averaged."),
    Signal("prediction/ssim", "", "higher", "Structural similarity of predicted frames."),
    Signal("prediction/copy_psnr", "dB", "", "PSNR of copying the last given frame: the level to beat."),
    Signal("prediction/copy_psnr_mean", "dB", "", "The same of each window, averaged."),
    Signal("prediction/copy_ssim", "", "", "Structural similarity of copying the last given frame."),
    Signal(
        "prediction/error_beside_copy",
        "",
        "lower",
        "Squared error over that of copying the last given frame; below 1 is better than a copy.",
    ),
    Signal("prediction/feature_distance", "", "lower", "Distance of predicted frames in packaged features."),
    Signal("prediction/copy_feature_distance", "", "", "The same for copying the last given frame."),
)

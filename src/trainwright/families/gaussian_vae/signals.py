"""Signals that only this family records; see :mod:`trainwright.runs.signals`."""

from trainwright.runs.signals import Signal

SIGNALS = (
    Signal("vae/xy", "", "lower", "Squared error of the positions of Gaussians, in the recipe's reduction."),
    Signal("vae/scale", "", "lower", "Squared error of their scales."),
    Signal("vae/rot", "", "lower", "Squared error of their rotations."),
    Signal("vae/feat", "", "lower", "Squared error of their colours."),
    Signal("vae/image", "", "lower", "Squared error of the rendered image, where the recipe has that term."),
    Signal("vae/kl", "", "", "KL term in the recipe's reduction; `kl/nats` has the unit that does not depend on it."),
    Signal("reconstruction/weighted", "", "lower", "Weighted sum of all reconstruction terms."),
    Signal(
        "validation/loss_at_full_beta",
        "",
        "lower",
        "Held-out objective with the final KL weight, comparable over a warm-up.",
    ),
    Signal("rendered/psnr", "dB", "higher", "PSNR of rendered reconstructions of held-out images.", diagnosed=True),
    Signal(
        "rendered/ssim",
        "",
        "higher",
        "Structural similarity of rendered reconstructions of held-out images.",
        diagnosed=True,
    ),
)

"""Signals that only an MLP VAE records."""

from trainwright.runs.signals import Signal

SIGNALS = (
    Signal(
        name="pixels/saturated_excess",
        better="lower",
        meaning="Share of pixels at the ends of the range in reconstructions, minus the same share in real images.",
        quality=True,
    ),
)

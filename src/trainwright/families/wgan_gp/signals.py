"""Signals that only this family records; see :mod:`trainwright.runs.signals`."""

from trainwright.runs.signals import Signal

SIGNALS = (
    Signal("critic/loss", "", "", "Loss of the critic: minus the Wasserstein estimate plus the weighted penalty."),
    Signal("critic/real", "", "", "Mean score of real images."),
    Signal("critic/fake", "", "", "Mean score of samples."),
    Signal(
        "generator/loss",
        "",
        "",
        "Minus the mean score of samples; its level means nothing, the critic may add any constant.",
    ),
    Signal("generator/score", "", "", "Mean score of samples in the generator's update."),
)

"""Declaration of every signal that all families share: unit, direction and meaning of a name or a pattern of names.

A family declares its own signals in ``signals.py`` of its folder, as a tuple ``SIGNALS``; :func:`declared` adds them.
"""

import importlib
import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

Better = Literal["higher", "lower", "1", "0", ""]
BETTER: dict[str, str] = {
    "higher": "higher is better",
    "lower": "lower is better",
    "1": "near 1 is right",
    "0": "near 0 is right",
    "": "",
}


@dataclass(frozen=True)
class Signal:
    """Declaration of one signal or of all signals that a pattern matches.

    Attributes:
        name: a name such as ``samples/coverage``; a word in capitals or a ``*`` stands for any part of a name (``grad_norm/GROUP``).
        unit: unit of a reading; empty for a plain number.
        better: where a good run moves it: ``higher``, ``lower``, towards ``1`` or ``0``, or empty if it says neither.
        meaning: one sentence.
        held_out: the signal of the same quantity on held-out data, compared with it to detect overfitting.
        quality: it measures samples or reconstructions, so that a run with it can be judged healthy.
        diagnosed: a symptom or cause reads it, so a log of another program may use the name.
    """

    name: str
    unit: str = ""
    better: Better = ""
    meaning: str = ""
    held_out: str = ""
    quality: bool = False
    diagnosed: bool = False

    @property
    def prefix(self) -> str:
        """The beginning of every name that it stands for."""
        return self.name.removesuffix("*")

    def matches(self, name: str) -> bool:
        """Return true for a signal name that this entry declares."""
        return _pattern(self.name).fullmatch(name) is not None


@cache
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"[A-Z]{3,}|\\\*", r"[\\w.]+", re.escape(name)))


SIGNALS: tuple[Signal, ...] = (
    # ---- the update: one entry a parameter group ----
    Signal("GROUP/loss", "", "", "Weighted sum of the terms of a parameter group."),
    Signal("weight/GROUP/TERM", "", "", "Weight of a loss term at this step."),
    Signal("share/GROUP/TERM", "share", "", "Share of a term in the sum of |weight × term|."),
    Signal("grad_norm/GROUP", "", "", "Gradient norm of a group before clipping."),
    Signal("gradient_ratio/FIRST_over_SECOND", "", "", "Gradient norm of one group over that of another."),
    Signal("gradient_share/GROUP/TERM", "share", "", "Share of a term in the gradient at the last layer."),
    Signal("clipped/GROUP", "share", "0", "Share of updates whose gradient was clipped."),
    Signal("lr/GROUP", "", "", "Learning rate in force."),
    Signal("lr_factor/GROUP", "", "", "Learning rate in force over the configured one, where they differ."),
    Signal("momentum/GROUP", "", "", "Momentum in force, where a controller changes it."),
    Signal("update_ratio/NETWORK", "", "", "Length of an update over the length of the weights."),
    Signal("updates_per_epoch/GROUP", "updates", "", "Updates of a group in the last epoch."),
    Signal("dead_units/NETWORK", "share", "0", "Share of units that no input activates."),
    # ---- time ----
    Signal("speed/samples_per_second", "samples/s", "higher", "Training speed without the time spent on monitoring."),
    Signal("speed/data_wait_share", "share", "0", "Share of training time spent waiting for data."),
    Signal("speed/seconds_left", "s", "", "Estimated time to the end of the run."),
    Signal(
        "monitor/time_share", "share", "lower", "Share of the time spent on signals, grids and held-out measurements."
    ),
    # ---- phases and controllers ----
    Signal("phase/index", "", "", "Number of the current phase, from 0."),
    Signal("controller/NAME", "", "", "Factors that the controller chose, and what it based them on."),
    Signal("controller/KIND/GROUP", "", "", "Factor that the controller chose for a group."),
    Signal("controller/KIND/GROUP/TERM", "", "", "Factor that the controller chose for a term."),
    # ---- samples compared with real data ----
    Signal("samples/diversity_ratio", "", "1", "Mean squared distance of two samples over that of two real images."),
    Signal("samples/coverage", "share", "higher", "Share of real images with a sample nearby (Naeem et al. 2020)."),
    Signal("samples/density", "", "higher", "Samples within the neighbourhoods of real images (Naeem et al. 2020)."),
    Signal(
        "samples/finite_share",
        "share",
        "higher",
        "Share of samples without a NaN or infinite number; recorded if it is below 1.",
    ),
    Signal("samples/precision", "share", "higher", "Share of samples near a real image (Kynkäänniemi et al. 2019)."),
    Signal("samples/recall", "share", "higher", "Share of real images near a sample (Kynkäänniemi et al. 2019)."),
    Signal(
        "samples/ndb",
        "share",
        "lower",
        "Share of bins filled differently than by real images (Richardson & Weiss 2018).",
    ),
    Signal("samples/duplicate_share", "share", "0", "Share of samples that are nearly equal to another sample."),
    Signal(
        "samples/range_ratio",
        "",
        "1",
        "Deviation of samples over that of real data; recorded if samples lie off the data and would be among them once it is equal.",
    ),
    Signal(
        "samples/pair_distance",
        "",
        "lower",
        "Total variation between the pairs of neighbours in sampled and in real sequences of symbols, from 0 to 1.",
    ),
    Signal(
        "samples/nearest_training_ratio",
        "",
        "1",
        "Distance to the nearest training image over that of held-out images.",
    ),
    Signal(
        "samples/lattice_share", "share", "lower", "Share of the variance in a 2 × 2 lattice: checkerboard artefacts."
    ),
    Signal("samples/lattice_ratio", "", "1", "The lattice's share over that of real images."),
    Signal("samples/nyquist", "", "lower", "Power at the highest frequency over that of the frequencies next to it."),
    Signal("samples/nyquist_ratio", "", "1", "The same over that of real images."),
    Signal("samples/top_octave_ratio", "", "1", "Power of fine detail over that of real images: below 1 is blur."),
    Signal("samples/contrast_ratio", "", "1", "Standard deviation of pixels over that of real images."),
    Signal("samples/channel_shift", "sd", "0", "Largest shift of a channel's mean, in deviations of real images."),
    Signal("samples/hue_shift", "sd", "0", "Largest shift of a colour channel relative to the mean of all three."),
    Signal("real/METRIC", "", "", "What one half of the real images scores against the other: the level to reach."),
    Signal("raw/diversity_ratio", "", "1", "Diversity of samples from weights that are not averaged."),
    Signal("raw/coverage", "share", "higher", "Coverage of samples from weights that are not averaged."),
    # ---- held-out data and latents ----
    Signal("validation/loss", "", "lower", "Objective on held-out data."),
    Signal("validation/TERM", "", "lower", "A term of the objective on held-out data."),
    Signal("reconstructions/psnr", "dB", "higher", "Peak signal-to-noise ratio of reconstructions of held-out data."),
    Signal(
        "kl/nats",
        "nats",
        "",
        "KL divergence of the posterior from the prior, of a sample, in this unit for every loss.",
    ),
    Signal("kl/nats_heldout", "nats", "", "The same on held-out data."),
    Signal("kl/largest_dimension", "nats", "", "KL of the dimension with the largest one."),
    Signal("kl/mean_dimension", "nats", "", "Mean KL of a dimension."),
    Signal("kl_histogram/RANGE", "share", "", "Share of the latent dimensions whose KL lies in a range of nats."),
    Signal(
        "latent/active_units",
        "dimensions",
        "higher",
        "Dimensions whose posterior mean varies by more than 0.01 (Burda et al. 2016).",
    ),
    Signal("latent/active_share", "share", "higher", "The same over the number of dimensions."),
    Signal(
        "latent/mutual_information",
        "nats",
        "higher",
        "Estimate of the information that z has of the data (He et al. 2019).",
    ),
    Signal(
        "latent/mutual_information_ceiling",
        "nats",
        "",
        "Largest value that the estimate can have: ln of the number of samples.",
    ),
    Signal("latent/prior_gap", "nats", "0", "Distance of the aggregate posterior from the prior, of a dimension."),
    Signal(
        "latent/shuffled_error_ratio",
        "",
        "higher",
        "Error with the code of another sample over that with its own; 1: z is not used.",
    ),
    Signal(
        "r2_beyond_mean/PART",
        "",
        "1",
        "1 - error / variance about each place's own mean; 0: that part is not learned.",
    ),
    Signal("r2/PART", "", "1", "1 - error / variance: what a constant output explains counts too."),
    Signal("std_ratio/PART", "", "1", "Standard deviation of the output over that of the data."),
    # ---- loops of other people (trainwright.watch and logs) ----
    Signal("data/std", "", "", "Standard deviation of a batch, in your own loop."),
    Signal("discriminator/term", "", "", "Cross-entropy of the discriminator, of one term: 0.69 is a guess."),
    Signal("discriminator/real", "", "", "Cross-entropy of the discriminator on real data."),
    Signal("discriminator/fake", "", "", "Cross-entropy of the discriminator on samples."),
    Signal("discriminator/gradient_norm", "", "", "Norm of the discriminator's gradient with respect to its input."),
    Signal("discriminator/score_spread", "", "", "Standard deviation of the discriminator's scores."),
    Signal("critic/wasserstein", "", "lower", "Wasserstein estimate without the penalty: E D(real) - E D(fake)."),
    Signal(
        "critic/wasserstein_train",
        "",
        "lower",
        "The same on training images, with the samples of the held-out measurement.",
    ),
    Signal(
        "critic/wasserstein_heldout",
        "",
        "lower",
        "The same on held-out images; far below the training value: the critic overfits.",
    ),
    Signal("critic/heldout_gap", "", "0", "Wasserstein estimate on training images minus that on held-out images."),
    Signal("critic/penalty", "", "0", "Gradient penalty, not weighted."),
    Signal("critic/gradient_norm", "", "1", "Norm of the critic's gradient between real images and samples."),
    Signal("critic/score_spread", "", "", "Standard deviation of the critic's scores."),
    Signal("generator/adversarial", "", "", "Adversarial term of the generator's loss."),
    Signal("reconstruction/weighted", "", "lower", "Reconstruction term as a log has it."),
    Signal("kl/raw", "", "", "KL term as a log has it, in a unit that is not known."),
    Signal("loss", "", "lower", "The only loss of a log."),
)
NOT_SIGNALS = ("step", "epoch", "samples", "time")


def declared(packages: Iterable[str] = ()) -> tuple[Signal, ...]:
    """Return the signals that families declare, then those that all share.

    Args:
        packages: packages of families (``trainwright.families.wgan_gp``); one without ``signals.py`` adds nothing.
    """
    own: list[Signal] = []
    for package in packages:
        if importlib.util.find_spec(f"{package}.signals") is not None:
            own += importlib.import_module(f"{package}.signals").SIGNALS
    return (*own, *SIGNALS)


def describe(name: str, packages: Iterable[str] = ()) -> Signal | None:
    """Return the declaration of a signal, or None: an exact name first, then the first pattern that fits."""
    known = declared(packages)
    exact = (s for s in known if s.name == name)
    return next(exact, None) or next((s for s in known if s.matches(name)), None)

"""Diagnostics of latent diffusion: symptoms, causes, preflight checks, and curves of its report."""

from trainwright.diagnosis.checks import Check, PlannedRun
from trainwright.diagnosis.definitions import (
    Assessment,
    Bound,
    Cause,
    Judgement,
    Observation,
    Symptom,
    Unknown,
    evidence,
    observation,
    persistent,
    warmed_up,
)
from trainwright.diagnosis.history import History
from trainwright.engine.charts import Chart

# ---- symptoms --------------------------------------------------------------------------------------------------------

SCHEDULE_MISMATCH_BOUNDS = {
    "distance": Bound(
        0.05,
        "largest difference of the signal share over time between the two schedules",
        "ours; the authors of the latent diffusion guide found this fault after writing it",
    ),
    "readings": Bound(1, "readings", "definition: a property of the configuration, not a trend"),
}


def _schedule_mismatch(h: History) -> Judgement:
    """Detect a sampler that assumes another signal share than training used."""
    distance = h.get("schedule/train_sample_distance")
    if distance is None:
        return Unknown("the noise schedules of training and sampling")
    stretch = persistent(distance.steps, distance.values > SCHEDULE_MISMATCH_BOUNDS["distance"].value, 1)
    if stretch is None:
        return None
    said = "the signal shares of the sampler's and the training noise schedule differ by up to {value} (healthy: 0)"
    return observation(
        stretch,
        "sick",
        evidence("schedule/train_sample_distance", distance, stretch, SCHEDULE_MISMATCH_BOUNDS["distance"].value, said),
    )


SCHEDULE_MISMATCH = Symptom(
    name="schedule_mismatch",
    title="training and sampling use different noise schedules",
    what="The sampler uses a noise schedule that the network was not trained on. Samples collapse although the loss falls.",
    measured="Largest difference over time between the signal shares of both schedules.",
    bounds=SCHEDULE_MISMATCH_BOUNDS,
    detect=_schedule_mismatch,
    speed="fast",
)


LATENT_SCALE_BOUNDS = {
    "low": Bound(
        0.5, "smallest healthy standard deviation of the scaled latents", "Rombach et al. 2022 scale them to 1"
    ),
    "high": Bound(2.0, "largest healthy standard deviation of the scaled latents", "Rombach et al. 2022"),
    "readings": Bound(1, "readings", "ours: the latents do not change during training"),
}


def _latent_scale(h: History) -> Judgement:
    """Detect scaled latents whose standard deviation is far from 1."""
    scale = h.get("latent/scaled_std")
    if scale is None:
        return Unknown("the standard deviation of the latents that the diffusion model is trained on")
    bad = (scale.values < LATENT_SCALE_BOUNDS["low"].value) | (scale.values > LATENT_SCALE_BOUNDS["high"].value)
    stretch = persistent(scale.steps, bad, int(LATENT_SCALE_BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = "the standard deviation of the scaled latents is {value} (the noise schedule assumes 1)"
    return observation(stretch, "sick", evidence("latent/scaled_std", scale, stretch, 1.0, said))


LATENT_SCALE = Symptom(
    name="latent_scale",
    title="latents without unit variance",
    what="The noise schedule assumes latents of unit variance, but these have another.",
    measured="Standard deviation of the latents after scaling.",
    bounds=LATENT_SCALE_BOUNDS,
    detect=_latent_scale,
    speed="fast",
)


OVER_DISPERSION_BOUNDS = {
    "ratio": Bound(
        1.3,
        "mean squared distance of two samples' latents over that of two real ones",
        "ours: the distance is 2 v for independent latents of variance v, and varies by about 5 % over sixteen samples",
    ),
    "plain": Bound(2.6, "the same ratio, from which one reading and half of the warm-up are enough", "ours"),
    "warm_up": Bound(
        0.3, "share of the planned steps before the first judgement: an untrained sampler returns noise", "ours"
    ),
    "readings": Bound(2, "consecutive readings", "ours"),
}


def _over_dispersion(h: History) -> Judgement:
    """Detect samples that differ far more from each other than real latents do."""
    ratio = h.get("sample_diversity/ratio")
    if ratio is None:
        return Unknown("distances between latents of samples, and between real latents")
    warm_up = warmed_up(h, OVER_DISPERSION_BOUNDS["warm_up"].value)
    plain = (ratio.values > OVER_DISPERSION_BOUNDS["plain"].value) & (ratio.steps > 0.5 * warm_up)
    bad = plain | ((ratio.values > OVER_DISPERSION_BOUNDS["ratio"].value) & (ratio.steps > warm_up))
    stretch = persistent(ratio.steps, bad, 1 if plain[-1] else int(OVER_DISPERSION_BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = (
        "the mean squared distance between latents of samples is {value} times that between real latents (healthy: 1)"
    )
    return observation(
        stretch, "sick", evidence("sample_diversity/ratio", ratio, stretch, OVER_DISPERSION_BOUNDS["ratio"].value, said)
    )


OVER_DISPERSION = Symptom(
    name="over_dispersion",
    title="samples more diverse than real data",
    what="Samples differ from each other more than real data do. A high distance alone looks like diversity, but is left-over noise.",
    measured="Mean squared distance of two samples' latents over that of two real latents.",
    bounds=OVER_DISPERSION_BOUNDS,
    detect=_over_dispersion,
)

SYMPTOMS = (SCHEDULE_MISMATCH, LATENT_SCALE, OVER_DISPERSION)

# ---- causes ----------------------------------------------------------------------------------------------------------


def _sampler(h: History, observation: Observation) -> Assessment | None:
    distance = h.get("schedule/train_sample_distance")
    if distance is not None and distance.last < 1e-3:
        return None
    kept = " (training adds noise without scaling the signal down)" if h.setting("keep_signal") else ""
    return Assessment(0.9, f"the sampler assumes another noise schedule than training used{kept}")


def _temperature(h: History, observation: Observation) -> Assessment | None:
    temperature = h.number("temperature")
    if temperature is None:
        return Assessment(0.2, "the standard deviation of the initial noise is unknown")
    if temperature > 1:
        return Assessment(0.9, f"sampling starts from noise of standard deviation {temperature:g}; training ends at 1")
    return None


def _noise_predicted(h: History, observation: Observation) -> Assessment | None:
    if h.setting("prediction") != "epsilon":
        return None
    said = "the network predicts noise: at high noise levels its error is multiplied by σ/α in the clean latent"
    return Assessment(0.7, said)


def _scale_factor(h: History, observation: Observation) -> Assessment | None:
    return Assessment(0.9, "the latents were not divided by their standard deviation")


CAUSES = (
    Cause(
        name="sampler_schedule",
        title="the sampler uses another noise schedule",
        of=("schedule_mismatch", "over_dispersion"),
        assess=_sampler,
    ),
    Cause(
        name="temperature", title="sampling starts from too much noise", of=("over_dispersion",), assess=_temperature
    ),
    Cause(
        name="noise_predicted",
        title="errors of the predicted noise are amplified",
        of=("over_dispersion",),
        assess=_noise_predicted,
    ),
    Cause(name="latent_not_scaled", title="latents are not scaled", of=("latent_scale",), assess=_scale_factor),
)

# ---- preflight checks ------------------------------------------------------------------------------------------------

DIVISORS = (20, 25, 40, 50, 100, 125, 200, 250, 500, 1000)  # of the 1000 time steps of training


def _pair(p: PlannedRun) -> list[Check]:
    distance = p.facts.get("schedule_distance")
    if distance is None:
        return []
    mean, variance = p.facts.get("toy_mean_ratio"), p.facts.get("toy_variance_ratio")
    proof = ""
    if mean is not None and variance is not None:
        made = f"{mean:.2f} of its mean and {variance:.2f} of its variance"
        proof = f"; on Gaussian data, an ideal network with this sampler reproduces {made}"
    if distance > 0.05:
        said = f"the noise schedules of training and sampling differ by {distance:.2g} in signal share{proof}"
        return [Check("schedule_pair", "stop", said, "noise.keep_signal=false sampler_schedule=same")]
    if variance is not None and mean is not None and not (0.75 < variance < 1.33 and 0.85 < mean < 1.15):
        steps = next((n for n in DIVISORS if n > (p.number("sampler_steps") or 0)), 1000)
        said = f"the sampler has too few steps{proof}"
        return [Check("schedule_pair", "warn", said, f"sampler_steps={steps}")]
    return [Check("schedule_pair", "ok", f"training and sampling use the same noise schedule{proof}")]


def _scale_of_latents(p: PlannedRun) -> list[Check]:
    scaled = p.facts.get("latent_scaled_std")
    if scaled is None:
        return []
    if not 0.5 < scaled < 2:
        said = f"the standard deviation of the scaled latents is {scaled:.2g}, but the noise schedule assumes 1"
        return [Check("latent_scale", "stop", said, "latent_scale=null, which measures it")]
    return [Check("latent_scale", "ok", f"the standard deviation of the scaled latents is {scaled:.2f}")]


CHECKS = (_pair, _scale_of_latents)

# ---- charts ----------------------------------------------------------------------------------------------------------

CHARTS = (
    Chart(
        "Loss",
        "Mean squared error of the network's prediction. It says little about samples. If held-out rises while training falls, the "
        "network overfits.",
        (("training", "unet/loss"), ("held out", "validation/loss")),
    ),
    Chart(
        "Held-out loss by time",
        "By noise level, from little (0) to almost pure noise (3). If only one curve stays high, that part of sampling is untrained.",
        tuple((f"stretch {i}", f"loss_bin/heldout_{i}") for i in range(4)),
    ),
    Chart(
        "Distance of samples over that of real latents",
        "1 is ideal. Below it samples are too similar. Above it they differ more than real data; the plain distance hides this.",
        (("ratio", "sample_diversity/ratio"),),
    ),
    Chart(
        "Mean squared distance of two latents",
        "The number that the latent diffusion guide uses, and the same for real latents.",
        (("samples", "sample_diversity/pairwise_mse_mean"), ("real", "real_diversity/pairwise_mse_mean")),
    ),
    Chart(
        "Reconstructions of held-out images",
        "Detail that the autoencoder loses cannot appear in samples of stage two.",
        (("PSNR in dB", "reconstructions/psnr"),),
    ),
    Chart(
        "Autoencoder",
        "Mean absolute error over all values of an image.",
        (("L1", "autoencoder/l1"), ("held out", "validation/l1")),
    ),
)

"""What only latent diffusion can show: signals, symptoms, causes, preflight checks, and the curves of its report."""

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
)
from trainwright.diagnosis.history import History
from trainwright.engine.charts import Chart

# ---- symptoms --------------------------------------------------------------------------------------------------------

SCHEDULE_MISMATCH_BOUNDS = {
    "distance": Bound(
        0.05,
        "largest difference of the signal share over time between the two schedules",
        "what the latent diffusion guide's authors found three days later",
    ),
    "readings": Bound(1, "readings", "it is a fact of the config, not a trend"),
}


def _schedule_mismatch(h: History) -> Judgement:
    """The signal share that the sampler assumes differs from the one that training used."""
    distance = h.get("schedule/train_sample_distance")
    if distance is None:
        return Unknown("the noise schedules of training and sampling, as the family reports them")
    stretch = persistent(distance.steps, distance.values > SCHEDULE_MISMATCH_BOUNDS["distance"].value, 1)
    if stretch is None:
        return None
    said = "the sampler's schedule is off by {value} of the signal from the one that was trained (healthy: 0)"
    return observation(
        stretch,
        "sick",
        evidence("schedule/train_sample_distance", distance, stretch, SCHEDULE_MISMATCH_BOUNDS["distance"].value, said),
    )


SCHEDULE_MISMATCH = Symptom(
    name="schedule_mismatch",
    title="sampling on another schedule than training",
    what="The sampler removes noise on a schedule that the network was not trained on, so a falling loss gives collapsed samples.",
    measured="Largest distance over time between the signal shares of both schedules.",
    bounds=SCHEDULE_MISMATCH_BOUNDS,
    detect=_schedule_mismatch,
    speed="fast",
)


LATENT_SCALE_BOUNDS = {
    "low": Bound(0.5, "standard deviation of the scaled latents", "Rombach et al. 2022 scale them to 1"),
    "high": Bound(2.0, "the same", "Rombach et al. 2022"),
}


def _latent_scale(h: History) -> Judgement:
    """The standard deviation of the scaled latents is far from 1."""
    scale = h.get("latent/scaled_std")
    if scale is None:
        return Unknown("the standard deviation of the latents that the diffusion model is trained on")
    bad = (scale.values < LATENT_SCALE_BOUNDS["low"].value) | (scale.values > LATENT_SCALE_BOUNDS["high"].value)
    stretch = persistent(scale.steps, bad, 1)
    if stretch is None:
        return None
    said = "scaled latents have a standard deviation of {value} (the schedule assumes 1)"
    return observation(stretch, "sick", evidence("latent/scaled_std", scale, stretch, 1.0, said))


LATENT_SCALE = Symptom(
    name="latent_scale",
    title="latents off their scale",
    what="The noise schedule assumes latents of unit variance, and these are not.",
    measured="Standard deviation of the latents after scaling.",
    bounds=LATENT_SCALE_BOUNDS,
    detect=_latent_scale,
    speed="fast",
)


OVER_DISPERSION_BOUNDS = {
    "ratio": Bound(
        1.3,
        "mean squared distance of two samples' latents over that of two real ones",
        "2 v for independent latents of variance v; sixteen samples scatter by about 5 % (ours)",
    ),
    "plain": Bound(2.6, "the same: so far off that one reading is enough, and half of the warm-up", "ours"),
    "warm_up": Bound(0.3, "share of the budget before it is judged: an untrained sampler gives back noise", "ours"),
    "readings": Bound(2, "readings in a row", "ours"),
}


def _over_dispersion(h: History) -> Judgement:
    """Two samples differ by far more than two real latents do, which a bare distance would praise as diversity."""
    ratio = h.get("sample_diversity/ratio")
    if ratio is None:
        return Unknown("distances between samples' latents, and those between real ones")
    warm_up = OVER_DISPERSION_BOUNDS["warm_up"].value * h.budget
    plain = (ratio.values > OVER_DISPERSION_BOUNDS["plain"].value) & (ratio.steps > 0.5 * warm_up)
    bad = plain | ((ratio.values > OVER_DISPERSION_BOUNDS["ratio"].value) & (ratio.steps > warm_up))
    stretch = persistent(ratio.steps, bad, 1 if plain[-1] else int(OVER_DISPERSION_BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = "two samples differ {value} times as much as two real latents do (healthy: 1)"
    return observation(
        stretch, "sick", evidence("sample_diversity/ratio", ratio, stretch, OVER_DISPERSION_BOUNDS["ratio"].value, said)
    )


OVER_DISPERSION = Symptom(
    name="over_dispersion",
    title="samples that spread too far",
    what="Samples differ from each other more than real data do: what a bare distance praises as diversity is too much noise.",
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
    kept = " (training keeps the whole signal next to the noise)" if h.setting("keep_signal") else ""
    return Assessment(0.9, f"the sampler undoes other noise than training adds{kept}")


def _temperature(h: History, observation: Observation) -> Assessment | None:
    temperature = h.number("temperature")
    if temperature is None:
        return Assessment(0.2, "the size of the noise that sampling begins with is not known")
    if temperature > 1:
        return Assessment(
            0.9, f"sampling begins with noise of standard deviation {temperature:g}, training ends with 1"
        )
    return None


def _noise_predicted(h: History, observation: Observation) -> Assessment | None:
    if h.setting("prediction") != "epsilon":
        return None
    said = (
        "the network predicts noise: where there is almost nothing else, the clean latent is off by its error times σ/α"
    )
    return Assessment(0.7, said)


def _scale_factor(h: History, observation: Observation) -> Assessment | None:
    return Assessment(0.9, "the latents were not scaled by one over their standard deviation")


CAUSES = (
    Cause(
        name="sampler_schedule",
        title="the sampler uses another schedule",
        of=("schedule_mismatch", "over_dispersion"),
        assess=_sampler,
    ),
    Cause(
        name="temperature", title="sampling begins with too much noise", of=("over_dispersion",), assess=_temperature
    ),
    Cause(
        name="noise_predicted",
        title="errors of the predicted noise are magnified",
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
        proof = f"; of a Gaussian, an ideal network and this sampler make {made}"
    if distance > 0.05:
        said = f"training and sampling use noise schedules that differ by {distance:.2g}{proof}"
        return [Check("schedule_pair", "stop", said, "noise.keep_signal=false sampler_schedule=same")]
    if variance is not None and mean is not None and not (0.75 < variance < 1.33 and 0.85 < mean < 1.15):
        steps = next((n for n in DIVISORS if n > (p.number("sampler_steps") or 0)), 1000)
        said = f"the sampler is too coarse{proof}"
        return [Check("schedule_pair", "warn", said, f"sampler_steps={steps}")]
    return [Check("schedule_pair", "ok", f"training and sampling use one noise schedule{proof}")]


def _scale_of_latents(p: PlannedRun) -> list[Check]:
    scaled = p.facts.get("latent_scaled_std")
    if scaled is None:
        return []
    if not 0.5 < scaled < 2:
        said = f"scaled latents have a standard deviation of {scaled:.2g}, and the noise schedule assumes 1"
        return [Check("latent_scale", "stop", said, "latent_scale=null, which measures it")]
    return [Check("latent_scale", "ok", f"scaled latents have a standard deviation of {scaled:.2f}")]


CHECKS = (_pair, _scale_of_latents)

# ---- charts ----------------------------------------------------------------------------------------------------------

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
        "The latent diffusion guide's number, and the same for real latents.",
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

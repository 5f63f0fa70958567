"""Latent diffusion: latents are not of unit scale."""

from trainwright.diagnosis.definitions import Bound, Judgement, Symptom, Unknown, evidence, observation, persistent
from trainwright.diagnosis.history import History

BOUNDS = {
    "low": Bound(0.5, "standard deviation of the scaled latents", "Rombach et al. 2022 scale them to 1"),
    "high": Bound(2.0, "the same", "Rombach et al. 2022"),
}


def detect(h: History) -> Judgement:
    """The standard deviation of the scaled latents is far from 1."""
    scale = h.get("latent/scaled_std")
    if scale is None:
        return Unknown("the standard deviation of the latents that the diffusion model is trained on")
    bad = (scale.values < BOUNDS["low"].value) | (scale.values > BOUNDS["high"].value)
    stretch = persistent(scale.steps, bad, 1)
    if stretch is None:
        return None
    said = "scaled latents have a standard deviation of {value} (the schedule assumes 1)"
    return observation(stretch, "sick", evidence("latent/scaled_std", scale, stretch, 1.0, said))


SYMPTOM = Symptom(
    name="latent_scale",
    title="latents off their scale",
    what="The noise schedule assumes latents of unit variance, and these are not.",
    measured="Standard deviation of the latents after scaling.",
    bounds=BOUNDS,
    detect=detect,
    speed="fast",
)

"""Diffusion: training and sampling use different noise schedules."""

from trainwright.diagnosis.definitions import Bound, Judgement, Symptom, Unknown, evidence, observation, persistent
from trainwright.diagnosis.history import History

BOUNDS = {
    "distance": Bound(
        0.05,
        "largest difference of the signal share over time between the two schedules",
        "what the latent diffusion guide's authors found three days later",
    ),
    "readings": Bound(1, "readings", "it is a fact of the config, not a trend"),
}


def detect(h: History) -> Judgement:
    """The signal share that the sampler assumes differs from the one that training used."""
    distance = h.get("schedule/train_sample_distance")
    if distance is None:
        return Unknown("the noise schedules of training and sampling, as the family reports them")
    stretch = persistent(distance.steps, distance.values > BOUNDS["distance"].value, 1)
    if stretch is None:
        return None
    said = "the sampler's schedule is off by {value} of the signal from the one that was trained (healthy: 0)"
    return observation(
        stretch, "sick", evidence("schedule/train_sample_distance", distance, stretch, BOUNDS["distance"].value, said)
    )


SYMPTOM = Symptom(
    name="schedule_mismatch",
    title="sampling on another schedule than training",
    what="The sampler removes noise on a schedule that the network was not trained on, so a falling loss gives collapsed samples.",
    measured="Largest distance over time between the signal shares of both schedules.",
    bounds=BOUNDS,
    detect=detect,
    speed="fast",
)

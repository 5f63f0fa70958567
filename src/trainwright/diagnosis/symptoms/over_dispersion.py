"""Diffusion: samples spread further than real data."""

from trainwright.diagnosis.definitions import Bound, Judgement, Symptom, Unknown, evidence, observation, persistent
from trainwright.diagnosis.history import History

BOUNDS = {
    "ratio": Bound(
        1.3,
        "mean squared distance of two samples' latents over that of two real ones",
        "2 v for independent latents of variance v; sixteen samples scatter by about 5 % (ours)",
    ),
    "plain": Bound(2.6, "the same: so far off that one reading is enough, and half of the warm-up", "ours"),
    "warm_up": Bound(0.3, "share of the budget before it is judged: an untrained sampler gives back noise", "ours"),
    "readings": Bound(2, "readings in a row", "ours"),
}


def detect(h: History) -> Judgement:
    """Two samples differ by far more than two real latents do, which a bare distance would praise as diversity."""
    ratio = h.get("sample_diversity/ratio")
    if ratio is None:
        return Unknown("distances between samples' latents, beside those between real ones")
    warm_up = BOUNDS["warm_up"].value * h.budget
    plain = (ratio.values > BOUNDS["plain"].value) & (ratio.steps > 0.5 * warm_up)
    bad = plain | ((ratio.values > BOUNDS["ratio"].value) & (ratio.steps > warm_up))
    stretch = persistent(ratio.steps, bad, 1 if plain[-1] else int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = "two samples differ {value} times as much as two real latents do (healthy: 1)"
    return observation(stretch, "sick", evidence("sample_diversity/ratio", ratio, stretch, BOUNDS["ratio"].value, said))


SYMPTOM = Symptom(
    name="over_dispersion",
    title="samples that spread too far",
    what="Samples differ from each other more than real data do: what a bare distance praises as diversity is too much noise.",
    measured="Mean squared distance of two samples' latents over that of two real latents.",
    bounds=BOUNDS,
    detect=detect,
)

"""Prior hole: good reconstructions but bad samples, because the prior does not match the aggregate posterior."""

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Symptom,
    Unknown,
    evidence,
    observation,
    persistent,
    warmed_up,
)
from trainwright.diagnosis.history import History

BOUNDS = {
    "gap": Bound(
        0.5, "KL in nats per dimension between a Gaussian fitted to the codes and the prior of the samples", "ours"
    ),
    "shuffled": Bound(
        1.2, "error with the z of another image over the error with its own z: above it z is used", "ours"
    ),
    "times": Bound(
        2.0,
        "distance of samples from real data over that of reconstructions",
        "ours; recipes with good samples stay below",
    ),
    "far": Bound(
        1.5, "distance of samples from real data, over that between two sets of real data", "ours; 1 is as good as real"
    ),
    "warm_up": Bound(0.1, "share of the planned steps before the first judgement", "ours"),
    "readings": Bound(2, "consecutive readings", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect codes of real images whose distribution differs from the prior although z is used."""
    gap, shuffled = h.get("latent/prior_gap"), h.get("latent/shuffled_error_ratio")
    if gap is None or shuffled is None:
        return Unknown("mean and variance of the codes of real images, to compare with the prior")
    late = gap.steps > warmed_up(h, BOUNDS["warm_up"].value)
    bad = (gap.values > BOUNDS["gap"].value) & (shuffled.at(gap.steps) > BOUNDS["shuffled"].value) & late
    stretch = persistent(gap.steps, bad, int(BOUNDS["readings"].value))
    if stretch is None:
        return _by_samples(h)
    said = (
        "the KL between the codes of real images and the prior is {value} nats per dimension (healthy: below {against})"
    )
    return observation(stretch, "sick", evidence("latent/prior_gap", gap, stretch, BOUNDS["gap"].value, said))


def _by_samples(h: History) -> Judgement:
    """Detect samples that are far from real data while reconstructions are not, at equal moments of codes and prior."""
    samples, again = h.get("prior/two_sample_ratio"), h.get("reconstructions/two_sample_ratio")
    if samples is None or again is None:
        return None
    late = samples.steps > warmed_up(h, BOUNDS["warm_up"].value)
    far = (samples.values > BOUNDS["far"].value) & (samples.values > BOUNDS["times"].value * again.at(samples.steps))
    stretch = persistent(samples.steps, far & late, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = (
        "the distance of samples from real data is {value} times that between two sets of real data "
        "(healthy: below {against}), while reconstructions are close"
    )
    return observation(stretch, "sick", evidence("prior/two_sample_ratio", samples, stretch, BOUNDS["far"].value, said))


SYMPTOM = Symptom(
    name="prior_hole",
    title="the prior does not match the aggregate posterior",
    what="Reconstructions are good but samples are bad: the decoder was not trained on codes like those drawn from the prior.",
    measured="KL between a diagonal Gaussian fitted to the codes of real images and the prior, in nats per dimension.",
    bounds=BOUNDS,
    kinds=("variational",),
    detect=detect,
    explains=("mode_dropping", "blur", "colour_cast"),
)

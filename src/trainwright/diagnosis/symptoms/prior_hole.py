"""Aggregate-posterior mismatch: good reconstructions, bad samples, because the prior is not where the codes are."""

from trainwright.diagnosis.definitions import Bound, Judgement, Symptom, Unknown, evidence, observation, persistent
from trainwright.diagnosis.history import History

BOUNDS = {
    "gap": Bound(0.5, "nats a dimension between the codes' own Gaussian and the prior that samples come from", "ours"),
    "shuffled": Bound(1.2, "above it z is used: error with another image's z over that with its own", "ours"),
    "times": Bound(
        2.0, "distance of samples from real data over that of reconstructions", "ours; a sound recipe stays below"
    ),
    "far": Bound(1.5, "and over that of other real data", "ours; 1 is as good as real"),
    "warm_up": Bound(0.1, "share of the budget before it is judged", "ours"),
    "readings": Bound(2, "readings in a row", "ours"),
}


def detect(h: History) -> Judgement:
    """z is used, but the codes of real images are spread quite differently from the draws that samples are made of."""
    gap, shuffled = h.get("latent/prior_gap"), h.get("latent/shuffled_error_ratio")
    if gap is None or shuffled is None:
        return Unknown("mean and spread of the codes of real images beside the prior")
    late = gap.steps > BOUNDS["warm_up"].value * h.budget
    bad = (gap.values > BOUNDS["gap"].value) & (shuffled.at(gap.steps) > BOUNDS["shuffled"].value) & late
    stretch = persistent(gap.steps, bad, int(BOUNDS["readings"].value))
    if stretch is None:
        return _by_samples(h)
    said = "codes of real images lie {value} nats a dimension from the prior that samples are drawn from (healthy: below {against})"
    return observation(stretch, "sick", evidence("latent/prior_gap", gap, stretch, BOUNDS["gap"].value, said))


def _by_samples(h: History) -> Judgement:
    """Moments of the codes agree with the prior's, but samples are far from real data and reconstructions are not."""
    samples, again = h.get("prior/two_sample_ratio"), h.get("reconstructions/two_sample_ratio")
    if samples is None or again is None:
        return None
    late = samples.steps > BOUNDS["warm_up"].value * h.budget
    far = (samples.values > BOUNDS["far"].value) & (samples.values > BOUNDS["times"].value * again.at(samples.steps))
    stretch = persistent(samples.steps, far & late, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = "samples are {value} times as far from real data as other real data, reconstructions are not (healthy: below {against})"
    return observation(stretch, "sick", evidence("prior/two_sample_ratio", samples, stretch, BOUNDS["far"].value, said))


SYMPTOM = Symptom(
    name="prior_hole",
    title="samples come from where no code is",
    what="Reconstructions are good and samples are not: the decoder never saw codes like those that the prior gives.",
    measured="KL of a diagonal Gaussian fitted to the codes of real images from the prior of samples, in nats a dimension.",
    bounds=BOUNDS,
    detect=detect,
    explains=("mode_dropping", "blur", "colour_cast"),
)

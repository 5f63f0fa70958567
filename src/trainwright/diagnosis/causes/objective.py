"""Causes in the objective: KL weight and reduction, weights of terms, penalty, clipping, decay."""

import numpy as np

from trainwright.diagnosis.definitions import Assessment, Cause, Observation
from trainwright.diagnosis.history import History
from trainwright.diagnosis.kinds import CALLS
from trainwright.diagnosis.symptoms.loss_imbalance import DROWNED, NOT_LEARNED

SMALL = 0.02  # β for a squared error summed over a sample, below which codes are hardly drawn to the prior
AVERAGED = ("mean", "group_mean", "channel_sum")


def beta_in_force(h: History) -> float | None:
    """Return the largest logged KL weight, else the configured one."""
    for name, series in h.match("weight/"):
        if name.endswith("/kl"):
            return float(series.values.max())
    return h.number("max_beta", "beta", "kl_weight", "lambda_kl")


def has_latent(h: History) -> bool:
    """True if the run logs a KL or a latent."""
    return any(True for prefix in ("kl/", "latent/") for _ in h.match(prefix))


def _reduction(h: History, observation: Observation) -> Assessment | None:
    reduction = h.setting("reduction")
    effective = h.facts.get("effective_beta")
    beta, limit = beta_in_force(h), h.facts.get("beta_threshold")
    if beta == 0 or (not has_latent(h) and not h.facts.get("posterior") and reduction is None):
        return None
    if h.setting("kl_reduction") == "batch" and reduction is not None:
        return Assessment(0.96, "the KL is summed over all samples of a batch, but the errors over each sample only")
    if reduction in AVERAGED and beta is not None and beta <= 2 and (limit is None or beta > 0.7 * limit):
        times = f", so the effective β of the likelihood is {effective:.0f}" if effective else ""
        return Assessment(0.95, f"errors are averaged ({reduction}) but the KL is summed: β = {beta:.3g}{times}")
    if reduction in AVERAGED and beta is None:
        return Assessment(
            0.75, "errors are averaged over all elements, which makes the KL outweigh them if it is summed"
        )
    if reduction is None and beta is not None and 0.3 <= beta <= 2:
        return Assessment(0.5, f"β = {beta:.3g} is usual for summed errors, but causes collapse if errors are averaged")
    return Assessment(0.4, "the reduction of the loss is unknown") if reduction is None and beta is None else None


def _beta(h: History, observation: Observation) -> Assessment | None:
    beta, limit = beta_in_force(h), h.facts.get("beta_threshold")
    if beta == 0 or (beta is None and not has_latent(h)):
        return None
    if beta is None:
        return Assessment(0.35, "the KL weight is unknown")
    if limit is None:
        return Assessment(0.45 if beta > 2 else 0.3, f"β = {beta:.3g}; the collapse threshold of the data is unknown")
    if beta > 0.7 * limit:
        return Assessment(0.9, f"β = {beta:.3g}; on these data the posterior collapses above {limit:.3g}")
    return Assessment(0.15, f"β = {beta:.3g} is below {limit:.3g}, the collapse threshold of the data")


def _strong(h: History, observation: Observation) -> Assessment | None:
    calls: dict[str, int] = h.facts.get("calls_per_sample") or {}
    if h.setting("model.decoder") == "autoregressive":
        dropped = h.number("word_dropout") or 0.0
        return Assessment(
            0.75 if dropped < 0.2 else 0.4,
            f"the decoder receives the previous steps and can ignore z (word dropout: {dropped:g})",
        )
    if h.setting("model.decoder") is None and (h.facts.get("tokens") or max(calls.values(), default=0) >= CALLS):
        return Assessment(
            0.7, "the decoder sees the elements before the one that it predicts, so it can ignore the code"
        )
    return None


def _beta_small(h: History, observation: Observation) -> Assessment | None:
    beta, limit = beta_in_force(h), h.facts.get("beta_threshold")
    if beta is None:
        return None if "samples/" in observation.evidence[0].signal else Assessment(0.4, "the KL weight is unknown")
    if beta == 0:
        return Assessment(0.97, "β = 0: no term matches the codes to the prior from which samples are drawn")
    numbers = h.facts.get("elements")
    standard = beta * (numbers if h.setting("reduction") in AVERAGED and numbers else 1.0)
    if limit is None and standard < SMALL and h.setting("reduction") is not None:
        return Assessment(
            0.85, f"β = {beta:.3g}, {1 / standard:.0f} times below the usual 1 for an error summed over a sample"
        )
    if "samples/" in observation.evidence[0].signal:
        return None  # the many other causes of bad samples are likelier
    if limit is not None and beta < 1e-3 * limit:
        return Assessment(0.9, f"β = {beta:.3g} is {limit / beta:.0f} times below the collapse threshold of the data")
    return Assessment(0.3, f"β = {beta:.3g}")


def group_weight(h: History, observation: Observation) -> Assessment | None:
    """Return evidence that a group which is not learned has less than a tenth of the largest weight."""
    if any(DROWNED in e.sentence for e in observation.evidence):
        return None
    weights = {
        n.split("/", 1)[1]: float(np.median(s.values))
        for n, s in h.match("weight/")
        if "/" in n and not n.endswith("/kl")
    }
    low = [e.signal.rpartition("/")[2] for e in observation.evidence if NOT_LEARNED in e.sentence]
    if weights and low:
        heaviest = max(weights.values())
        for name in low:
            if name in weights and weights[name] < 0.1 * heaviest:
                return Assessment(0.95, f"{name} has weight {weights[name]:g}, others have up to {heaviest:g}")
        return Assessment(0.15, "the weights of the groups are similar")
    return Assessment(0.4, "the weights of the groups are unknown")


def _outweighed(h: History, observation: Observation) -> Assessment | None:
    """Return evidence that a term which entered later is the one that an error rises with."""
    for e in observation.evidence:
        if DROWNED in e.sentence:
            return Assessment(0.9, "the error had fallen until the other term entered, and has not come back since")
    return None


def penalty(h: History) -> float | None:
    """Return the weight of the gradient penalty."""
    for name, series in h.match("weight/"):
        if name.endswith("/penalty"):
            return float(np.median(series.values))
    return h.number("lambda_gp")


def _penalty_off(h: History, observation: Observation) -> Assessment | None:
    weight = penalty(h)
    if weight is None:
        return None
    norm = h.get("critic/gradient_norm")
    steep = norm is not None and float(np.median(norm.values[-5:])) > 2
    if weight < 1:
        return Assessment(
            0.96 if weight == 0 else 0.85,
            f"the gradient penalty has weight {weight:g} (usual: 10), so the critic's gradient is hardly limited",
        )
    return Assessment(0.2 if steep else 0.08, f"the gradient penalty has weight {weight:g}, which is usual")


def _penalty_large(h: History, observation: Observation) -> Assessment | None:
    weight = penalty(h)
    if weight is None:
        return None
    share = h.get("share/critic/penalty")
    heavy = float(np.median(share.values[-10:])) if share is not None else 0.0
    if weight >= 100:
        return Assessment(
            0.92,
            f"the gradient penalty has weight {weight:g} (usual: 10) and makes up {heavy:.0%} of the critic's loss",
        )
    return Assessment(0.25 if heavy > 0.6 else 0.05, f"the gradient penalty makes up {heavy:.0%} of the critic's loss")


def _clipped(h: History, observation: Observation) -> Assessment | None:
    for name, series in h.match("clipped/"):
        share = float(np.mean(series.values[-50:]))
        if share > 0.5:
            limit = h.number("max_grad_norm")
            tight = limit is not None and limit < 0.05
            return Assessment(
                0.9 if tight else 0.35,
                f"{share:.0%} of the {name}'s gradients are clipped, to a norm of {limit:g}"
                if limit
                else f"{share:.0%} of the {name}'s gradients are clipped",
            )
    return None


def _schedule(h: History, observation: Observation) -> Assessment | None:
    reach = h.facts.get("beta_reached")
    if reach is not None and reach < 0.5:
        return Assessment(0.85, f"the KL weight reaches only {reach:.0%} of its target within the run")
    return None


def _decay(h: History, observation: Observation) -> Assessment | None:
    decay = h.number("weight_decay")
    if decay is None or decay < 0.5:
        return None
    return Assessment(0.93, f"weight decay is {decay:g}, so it dominates the gradient of the loss")


CAUSES = [
    Cause(
        name="reduction_mismatch",
        title="errors are averaged but the KL is summed",
        of=("posterior_collapse", "variance_collapse", "plateau", "mode_collapse", "mode_dropping", "blur", "off_data"),
        assess=_reduction,
        kinds=("variational",),
        advice="sum the error over the numbers of a sample, as the KL is summed; or divide the KL weight by that number",
    ),
    Cause(
        name="beta_above_threshold",
        title="the KL weight is above the collapse threshold of the data",
        of=(
            "posterior_collapse",
            "variance_collapse",
            "plateau",
            "blur",
            "colour_cast",
            "mode_collapse",
            "mode_dropping",
            "off_data",
        ),
        assess=_beta,
        kinds=("variational",),
        advice="lower the KL weight by a factor of 10",
    ),
    Cause(
        name="strong_decoder",
        title="the decoder can ignore z",
        of=("posterior_collapse",),
        assess=_strong,
        kinds=("variational",),
        advice="drop some of the decoder's inputs (word dropout), weaken it, or anneal the KL weight; free bits help too",
    ),
    Cause(
        name="beta_too_small",
        title="the KL weight is too small to match the codes to the prior",
        of=("prior_hole", "overfitting", "mean_regression", "off_data", "colour_cast", "mode_dropping", "blur"),
        assess=_beta_small,
        kinds=("variational",),
        advice="raise the KL weight, or draw samples from a density fitted to the codes",
    ),
    Cause(
        name="group_weight",
        title="the weight of a loss term is too small",
        of=("loss_imbalance",),
        assess=group_weight,
        advice="raise the weight of the term that is not learned",
    ),
    Cause(
        name="term_outweighs",
        title="one term drowns another from the step at which it enters",
        of=("loss_imbalance",),
        assess=_outweighed,
        advice="lower the weight of the term that entered by a factor of 10, or raise it from 0 over some thousand steps",
    ),
    Cause(
        name="penalty_too_small",
        title="the gradient penalty is too weak",
        of=("exploding", "oscillation", "critic_dominance", "non_finite", "spike"),
        assess=_penalty_off,
        kinds=("adversarial",),
        advice="use a gradient penalty of weight 10",
    ),
    Cause(
        name="penalty_too_large",
        title="the gradient penalty dominates the critic's loss",
        of=("dead_critic", "oscillation", "generator_dominance", "mode_collapse", "plateau", "exploding"),
        assess=_penalty_large,
        kinds=("adversarial",),
        advice="use a gradient penalty of weight 10",
    ),
    Cause(
        name="clipping_too_tight",
        title="gradient clipping is too tight",
        of=("slow", "plateau"),
        assess=_clipped,
        advice="raise the limit of the gradient norm to the usual norm of the gradient",
    ),
    Cause(
        name="schedule_out_of_reach",
        title="a schedule does not reach its target within the run",
        of=("prior_hole",),
        assess=_schedule,
        kinds=("variational",),
    ),
    Cause(
        name="weight_decay_too_high",
        title="weight decay is too high",
        of=("variance_collapse", "plateau", "posterior_collapse", "dead_critic", "frozen_network", "mode_collapse"),
        assess=_decay,
        advice="lower the weight decay to 0.01 or less",
    ),
]

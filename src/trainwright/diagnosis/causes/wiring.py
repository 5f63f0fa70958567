"""Causes that inspections of a loop find: optimizers, gradients, losses, labels, conditions, sampling.

What an inspection found is weighed by the doctor itself; the assessments here are for what signals alone show.
"""

from collections.abc import Callable

import numpy as np

from trainwright.diagnosis.definitions import Assessment, Cause, Observation
from trainwright.diagnosis.history import History

Assess = Callable[[History, Observation], Assessment | None]
SAMPLES = ("off_data", "mode_collapse", "mode_dropping", "blur", "colour_cast")
TRAINING = ("plateau", "slow", "exploding", "non_finite", "oscillation", "spike")
GAN = (
    "critic_dominance",
    "generator_dominance",
    "discriminator_guessing",
    "dead_critic",
    "vanishing_losses",
    "generator_undertrained",
)
GAN_ALL = (*GAN, *SAMPLES, "exploding", "oscillation", "plateau", "unbounded_loss")


def _only_inspected(h: History, observation: Observation) -> Assessment | None:
    return None


def _early_zero(h: History, observation: Observation) -> Assessment | None:
    for name, series in h.match("lr/"):
        highest = float(series.values.max())
        low = np.flatnonzero(series.values <= 1e-3 * highest)
        if highest > 0 and len(low) and series.last <= 1e-3 * highest and float(series.steps[low[0]]) < 0.6 * h.budget:
            return Assessment(
                0.95,
                f"the learning rate of {name} fell from {highest:.3g} to {series.last:.3g} by step {series.steps[low[0]]:.0f}",
            )
        if highest > 0 and len(low) and float(series.steps[low[0]]) < 0.5 * h.budget and len(low) >= 0.1 * len(series):
            return Assessment(
                0.7,
                f"the learning rate of {name} is near 0 in {len(low) / len(series):.0%} of the readings, first at step "
                f"{series.steps[low[0]]:.0f}: its schedule is shorter than the run",
            )
    return None


def _kl_negative(h: History, observation: Observation) -> Assessment | None:
    for name in ("kl/raw", "kl/nats", "validation/kl"):
        series = h.get(name, least=3)
        if series is not None and float(np.median(series.values[-3:])) < -1e-3:
            return Assessment(
                0.96, f"the KL term is {series.last:.3g}; with the right sign and formula it is never negative"
            )
    return None


def _entropy_negative(h: History, observation: Observation) -> Assessment | None:
    series = h.get("reconstruction/weighted", "validation/reconstruction", least=3)
    if series is not None and float(np.median(series.values[-3:])) < 0:
        return Assessment(
            0.85,
            f"the reconstruction term is {series.last:.3g}; a cross-entropy of targets in 0 to 1 is never negative",
        )
    return None


def _training_is_fine(h: History, observation: Observation) -> Assessment | None:
    loss = h.get("loss", least=12)
    if loss is None:
        return None
    first, now = float(np.median(loss.values[:2])), float(np.median(loss.values[-6:]))
    if now < 0.4 * first:
        return Assessment(
            0.6,
            f"the training loss has fallen from {first:.3g} to {now:.3g}, but samples are not among the data, so sampling is wrong",
        )
    return Assessment(0.2, "the training loss has hardly fallen, so the network itself may be bad")


def _never_rises(h: History, observation: Observation) -> Assessment | None:
    for name, series in h.match("weight/"):
        if name.endswith("/kl") and len(series) >= 6 and h.now > 0.3 * h.budget:
            highest = float(series.values.max())
            if highest < 1e-3:
                return Assessment(0.93, f"the KL weight never rises above {highest:.2g}")
    return None


def _unused(h: History, observation: Observation) -> Assessment | None:
    return Assessment(0.7, "few codes are used, and unused codes get no gradient, so they stay unused")


def _copies(h: History, observation: Observation) -> Assessment | None:
    baseline = str(h.facts.get("baseline", ""))
    return Assessment(0.85, f"the output is no better than {baseline}") if "input" in baseline else None


def _unlearnable(h: History, observation: Observation) -> Assessment | None:
    """Weigh that weights move and gradients flow while the loss stays where it began."""
    moved = [s.last for n, s in h.match("update_ratio/")]
    norms = [s.last for n, s in h.match("grad_norm/")]
    ratio = h.get("baseline/error_ratio")
    if not moved or not norms or max(moved) < 1e-5 or max(norms) < 1e-8 or ratio is None or ratio.last < 0.85:
        return None
    return Assessment(
        0.6, f"gradients flow and each step changes the weights by {max(moved):.2g}, but there is nothing to learn"
    )


def _sudden(h: History, observation: Observation) -> Assessment | None:
    """Weigh that the losses were usual up to the step at which one was not finite any more."""
    for name in (e.signal for e in observation.evidence):
        series = h.signals.get(name)
        if series is None:
            continue
        values = series.values[series.steps < observation.onset]
        values = np.abs(values[np.isfinite(values)])
        if len(values) >= 3 and values[-1] <= 2 * float(np.median(values)):
            return Assessment(
                0.55, f"{name} was {values[-1]:.3g}, as usual, until it was not finite: nothing grew before"
            )
    return None


def _wired(
    name: str,
    title: str,
    of: tuple[str, ...],
    advice: str,
    assess: Assess = _only_inspected,
    kinds: tuple[str, ...] = (),
) -> Cause:
    return Cause(name=name, title=title, of=("wiring", *of), assess=assess, kinds=kinds, advice=advice)


CAUSES = [
    _wired(
        "gradients_not_cleared",
        "gradients are never cleared",
        (*GAN_ALL, *TRAINING),
        "call zero_grad() before each backward pass",
    ),
    _wired(
        "gradients_of_other_loss",
        "a step contains another loss's gradients",
        (*GAN_ALL, *TRAINING),
        "call zero_grad() right before the loss's own backward pass",
    ),
    _wired(
        "optimizer_never_steps",
        "an optimizer never steps",
        (*GAN_ALL, "frozen_network", "slow", "trivial_baseline"),
        "call step() of each optimizer after its backward pass",
    ),
    _wired(
        "parameters_not_optimized",
        "no optimizer holds some parameters",
        (*SAMPLES, *TRAINING, "frozen_network", "trivial_baseline", "posterior_collapse"),
        "pass all parameters to an optimizer, and build it after the network is complete",
    ),
    _wired(
        "parameters_shared",
        "two optimizers step the same parameters",
        (*GAN_ALL, *TRAINING),
        "give each optimizer the parameters of its own network",
    ),
    _wired(
        "lr_reaches_zero_early",
        "the learning rate reaches 0 before the end",
        ("frozen_network", "plateau", "slow", *SAMPLES),
        "let the schedule end with the run, counted in optimizer steps",
        _early_zero,
    ),
    _wired("wrong_sign", "a loss has the wrong sign", (*GAN_ALL, "unbounded_loss"), "change the sign of that loss"),
    _wired(
        "labels_do_not_oppose",
        "discriminator and generator do not oppose each other",
        GAN_ALL,
        "label real data and samples differently for the discriminator, and samples as real for the generator",
        kinds=("adversarial",),
    ),
    _wired(
        "sigmoid_twice",
        "a sigmoid or softmax is applied twice",
        (*GAN, "plateau", "slow", "trivial_baseline"),
        "remove the last activation, or use the loss for probabilities",
    ),
    _wired(
        "loss_expects_probabilities",
        "the loss expects probabilities",
        ("plateau", "exploding", "non_finite", "trivial_baseline", "unbounded_loss"),
        "apply log_softmax before NLLLoss",
    ),
    _wired(
        "loss_outside_range",
        "a cross-entropy of data outside 0 to 1",
        ("unbounded_loss", "exploding", *SAMPLES, "plateau"),
        "scale the targets to 0 to 1",
        _entropy_negative,
    ),
    _wired(
        "loss_shapes_broadcast",
        "output and target broadcast to another shape",
        ("plateau", "trivial_baseline", "mean_regression", "variance_collapse", *GAN),
        "give output and target the same shape",
    ),
    _wired(
        "penalty_without_graph",
        "the gradient penalty has no gradient",
        ("exploding", "critic_dominance", "oscillation", *SAMPLES),
        "use create_graph=True",
        kinds=("adversarial",),
    ),
    _wired(
        "batch_norm_in_critic",
        "BatchNorm in a critic with a gradient penalty",
        (*GAN, "oscillation", "exploding", "mode_dropping"),
        "use LayerNorm, GroupNorm or none",
        kinds=("adversarial",),
    ),
    _wired(
        "sqrt_at_zero",
        "a root or norm at zero has no derivative",
        ("non_finite", "exploding"),
        "add a small number under the root",
    ),
    _wired(
        "log_of_zero", "a logarithm of zero", ("non_finite", "exploding"), "use a loss of logits, or clamp the argument"
    ),
    _wired(
        "kl_sign",
        "the KL term has the wrong sign or formula",
        ("unbounded_loss", "exploding", "posterior_collapse", "prior_hole", *SAMPLES),
        "use 0.5 (mean^2 + variance - 1 - log variance), summed over dimensions",
        _kl_negative,
        ("variational",),
    ),
    _wired(
        "kl_weight_stays_zero",
        "the KL weight never rises",
        ("prior_hole", *SAMPLES),
        "step the schedule of the KL weight once per step, and do not reset it",
        _never_rises,
        ("variational",),
    ),
    _wired(
        "batch_time_swapped",
        "samples of a batch are mixed",
        ("plateau", "trivial_baseline", "overfitting", *SAMPLES),
        "check the order of the axes: batch_first, permute instead of view",
    ),
    _wired(
        "targets_in_input",
        "outputs see their own targets",
        ("overfitting", "trivial_baseline", *SAMPLES),
        "use a causal mask or causal padding",
    ),
    _wired(
        "data_layout",
        "a view scrambles axes",
        ("plateau", "trivial_baseline", "mean_regression", "slow", *SAMPLES),
        "exchange axes with transpose() or permute(), not with view() or reshape()",
    ),
    _wired(
        "latent_activation",
        "an activation on mean or log-variance",
        ("posterior_collapse", "prior_hole", "variance_collapse", "plateau", *SAMPLES),
        "end the encoder in linear layers",
        kinds=("variational",),
    ),
    _wired(
        "flat_loss",
        "the loss is flat where the network is",
        (*GAN_ALL, "frozen_network", "trivial_baseline", "slow"),
        "use a loss whose gradient is nowhere 0 for the network that is to learn",
    ),
    _wired(
        "output_activation",
        "the last activation does not fit the loss",
        (*GAN_ALL, "frozen_network"),
        "end in a linear layer unless the loss is one of probabilities",
    ),
    _wired(
        "critic_unbounded",
        "nothing bounds the critic's slope",
        (*GAN, "unbounded_loss", "exploding", "oscillation", "non_finite", *SAMPLES),
        "add a gradient penalty, or clip the critic's weights",
        kinds=("adversarial",),
    ),
    _wired(
        "spectral_norm_in_eval",
        "spectral norms are not updated",
        (*GAN_ALL, "spike", "non_finite"),
        "call train() before the loop, and again after each evaluation",
    ),
    _wired(
        "trained_in_eval_mode",
        "a network is trained in evaluation mode",
        (*GAN_ALL, *TRAINING),
        "call train() before the loop, and again after each evaluation",
    ),
    _wired(
        "batch_norm_modes_differ",
        "BatchNorm is in different modes for two losses",
        (*GAN_ALL, *TRAINING),
        "call the network in the same mode for both losses",
    ),
    _wired(
        "loss_weight_inverted",
        "few samples outweigh all others",
        (*SAMPLES, *TRAINING, "loss_imbalance"),
        "bound the weights of the loss, or use equal ones",
    ),
    _wired(
        "accumulated_gradients_cleared",
        "gradients are cleared before the step",
        (*TRAINING, *SAMPLES, "oscillation"),
        "clear gradients right after a step only",
    ),
    _wired(
        "ema_replaces_weights",
        "weights are overwritten between steps",
        (*GAN_ALL, *TRAINING, "frozen_network", "trivial_baseline"),
        "keep the average in a copy of the network",
    ),
    _wired(
        "deviation_formula",
        "variance and deviation of the codes are confused",
        ("posterior_collapse", "prior_hole", "variance_collapse", "exploding", *SAMPLES),
        "use deviation = exp(0.5 * logvar) if the KL takes logvar for a log-variance",
        kinds=("variational",),
    ),
    _wired(
        "noise_not_used",
        "codes are not drawn",
        ("posterior_collapse", "prior_hole", *SAMPLES),
        "decode mean + deviation * noise in training",
        kinds=("variational",),
    ),
    _wired(
        "softmax_over_batch",
        "a softmax runs over the batch",
        (*SAMPLES, *TRAINING, "trivial_baseline"),
        "give softmax the axis of the classes: dim=-1",
    ),
    _wired(
        "sampling_without_noise",
        "sampling draws nothing at random",
        SAMPLES,
        "draw noise, or each element from the predicted probabilities",
    ),
    _wired(
        "no_activation",
        "no activation between layers",
        (*GAN_ALL, *TRAINING, "trivial_baseline", "mean_regression"),
        "put an activation between the layers",
    ),
    _wired(
        "dropout_too_high",
        "dropout takes nearly everything",
        (*TRAINING, *SAMPLES, "trivial_baseline", "mean_regression"),
        "use 0.1 to 0.5",
    ),
    _wired(
        "initialization",
        "the initial weights are too large, or all zero",
        (*GAN_ALL, *TRAINING, "frozen_network", "trivial_baseline"),
        "start with weights whose deviation is about 1 over the root of the inputs of a unit",
    ),
    _wired(
        "layer_used_twice",
        "one layer stands in several places",
        (*TRAINING, *SAMPLES, "trivial_baseline"),
        "build a new layer for each place",
    ),
    _wired(
        "noise_distribution_mismatch",
        "training and sampling draw different noise",
        SAMPLES,
        "draw the noise from the same distribution",
    ),
    _wired(
        "targets_misaligned",
        "targets are not the next elements",
        (*SAMPLES, "overfitting", "trivial_baseline"),
        "shift targets by one against inputs",
    ),
    _wired(
        "padding_in_loss",
        "the loss is mostly about padding",
        (*SAMPLES, "trivial_baseline", "plateau"),
        "leave padding out of the loss",
    ),
    _wired(
        "noise_drawn_once",
        "the noise is the same in every step",
        (*SAMPLES, *GAN, "memorisation", "overfitting"),
        "draw new noise in each step",
    ),
    _wired(
        "same_batch_every_step",
        "every step sees the same batch",
        ("memorisation", "overfitting", *SAMPLES, *GAN),
        "take the next batch in each step",
    ),
    _wired(
        "condition_differs_when_sampling",
        "a condition differs between training and sampling",
        SAMPLES,
        "encode and scale the condition by the same function in training and in sample()",
    ),
    _wired(
        "rollout_not_normalized",
        "a rollout feeds back values in other units",
        (*SAMPLES, "trivial_baseline"),
        "feed back what the network puts out, in the units of training",
        kinds=("prediction", "autoregressive"),
    ),
    _wired(
        "rollout_window_wrong",
        "the window of a forecast does not move with it",
        (*SAMPLES, "trivial_baseline"),
        "drop the oldest element and append the prediction in each step",
        kinds=("prediction", "autoregressive"),
    ),
    _wired(
        "hidden_state_lost",
        "earlier elements of a sequence are forgotten",
        (*SAMPLES, "plateau", "trivial_baseline"),
        "pass the state of one step to the next",
        kinds=("prediction", "autoregressive"),
    ),
    _wired(
        "sampling_order_wrong",
        "elements are drawn before those that they depend on",
        SAMPLES,
        "draw the elements in the order of the network's masks",
        kinds=("autoregressive",),
    ),
    _wired(
        "label_never_drawn",
        "some labels are never drawn in training",
        (*SAMPLES, "critic_dominance", "vanishing_losses"),
        "draw labels of all classes in training",
    ),
    _wired(
        "schedule_invalid",
        "a schedule or constant is not a number",
        ("non_finite", "exploding"),
        "keep the betas of the noise schedule below 1, so that the roots of its products exist",
    ),
    _wired(
        "sampling_filter_wrong",
        "the filter of sampling keeps unlikely elements",
        SAMPLES,
        "set the logits of what is excluded to -inf before the softmax",
        kinds=("autoregressive",),
    ),
    _wired(
        "conditioning_ignored",
        "a condition has no effect",
        (*SAMPLES, "plateau", "trivial_baseline"),
        "check how the condition is embedded and where it enters",
    ),
    _wired(
        "hidden_state_carried",
        "a hidden state goes from batch to batch",
        ("overfitting", "plateau", *SAMPLES),
        "start each batch from a zero state",
    ),
    _wired(
        "batch_statistics_when_sampling",
        "samples depend on the network's mode",
        (*SAMPLES, "ema_lag"),
        "sample in the mode in which samples are good",
    ),
    _wired(
        "sampler_step_mismatch",
        "the sampler does not undo the noise of training",
        SAMPLES,
        "check the sampler's steps and schedule against those of training",
        _training_is_fine,
        ("diffusion",),
    ),
    _wired(
        "prediction_type_mismatch",
        "the sampler misreads what the network predicts",
        SAMPLES,
        "use one prediction type in training and sampling",
        kinds=("diffusion",),
    ),
    _wired(
        "schedule_leaves_signal",
        "the noise schedule leaves signal at its end",
        SAMPLES,
        "end the schedule at zero signal",
        kinds=("diffusion",),
    ),
    _wired(
        "schedule_begins_without_noise",
        "the noise schedule begins at zero noise",
        ("non_finite", *SAMPLES),
        "let the first step have some noise",
        kinds=("diffusion",),
    ),
    _wired(
        "latents_not_scaled",
        "the data are not scaled for the noise schedule",
        (*SAMPLES, "plateau", "exploding"),
        "divide the latents by their standard deviation",
        kinds=("diffusion",),
    ),
    _wired(
        "codebook_unused",
        "most codes are never used",
        ("codebook_collapse",),
        "start the codes on encoder outputs, and replace unused ones",
        _unused,
    ),
    _wired(
        "copies_last_frame",
        "the output is a copy of its input",
        ("trivial_baseline", "plateau"),
        "let the network model motion: larger filters, a higher rate, a loss on differences",
        _copies,
    ),
    _wired(
        "term_left_out",
        "a term of the loss is not trained on",
        (*GAN_ALL, "prior_hole"),
        "add it to the loss before the backward pass",
    ),
    _wired(
        "term_without_gradient",
        "a term of the loss has no gradient for the network that it is meant for",
        (*GAN_ALL, "prior_hole"),
        "compute the term from the network's own output, not detached",
    ),
    _wired(
        "input_repeated",
        "parts of the input change nothing",
        ("trivial_baseline", "plateau", "mean_regression", *SAMPLES),
        "check that each step of the network's loop takes its own input and the newest state",
    ),
    _wired(
        "labels_mismatched",
        "labels do not belong to their inputs",
        ("trivial_baseline", "plateau", "slow"),
        "look at a few inputs beside their labels as the loss gets them; sort or shuffle both together",
        _unlearnable,
        kinds=("supervised", "prediction", "diffusion", "autoregressive", "adversarial"),
    ),
    _wired(
        "data_not_shuffled",
        "batches hold similar samples",
        ("oscillation", "spike", "overfitting", "plateau"),
        "shuffle the training data: DataLoader(..., shuffle=True)",
    ),
    _wired(
        "loss_mask_wrong",
        "fewer and fewer places count in the loss",
        ("off_data", "mode_dropping", "overfitting"),
        "make the mask anew for each batch, and do not write into a cached one",
        kinds=("autoregressive",),
    ),
    _wired(
        "division_by_zero",
        "a formula of the loss has no finite value",
        ("non_finite",),
        "look for a division by zero, a logarithm or root of zero, and an overflow in the loss and its weights",
        _sudden,
    ),
    _wired(
        "clipping_of_clean_estimate",
        "the sampler clips its estimate of the clean data",
        SAMPLES,
        "do not clip latents in the sampler",
        kinds=("diffusion",),
    ),
]

"""Inspections of sampling: which weights, which statistics, which conditions, and whether a sampler inverts its noise schedule."""

import math

import torch

from trainwright.diagnosis.inspection import Inspect, Inspection
from trainwright.diagnosis.observing.observer import Observed
from trainwright.diagnosis.observing.sampler import time_index

LEFT = 0.25  # share of the initial weights in an average at the end, above which it is too slow


def averages(seen: Observed) -> list[Inspection]:
    """Judge the moving average that is sampled from: its buffers, and its memory against the length of the run."""
    average = seen.average
    if average is None or not seen.per_sample.get(average.network.name):
        return []
    name, source = average.network.name, average.of.name
    if average.buffers_follow is False:
        return [
            Inspection(
                "ema_without_buffers",
                "sick",
                f"{name} averages the parameters of {source} but keeps the BatchNorm statistics of the untrained network",
                f"copy the buffers too: for a, b in zip({name}.buffers(), {source}.buffers()): a.copy_(b)",
            )
        ]
    if math.isnan(average.decay) or not seen.total:
        return []
    if average.decay >= 1.0 - 1e-7:
        if seen.watched < 40:
            return []
        return [
            Inspection(
                "ema_too_slow",
                "sick",
                f"{name} is sampled from, but it does not follow {source}",
                f"update {name} after each step, or sample from {source}",
            )
        ]
    left = average.decay**seen.total
    if left > LEFT:
        return [
            Inspection(
                "ema_too_slow",
                "sick" if left > 0.5 else "suspect",
                f"{name} keeps {average.decay:.5g} of itself in each step: after all {seen.total} steps "
                f"{left:.0%} of it are still the initial weights",
                f"use a decay of at most {math.exp(-20 / seen.total):.4g}, or one that warms up",
            )
        ]
    return []


def untrained(seen: Observed) -> list[Inspection]:
    """Find that samples come from a network that nothing trains."""
    sampled = [n for n in seen.networks if seen.per_sample.get(n.name)]
    if not sampled or seen.watched < 24 or any(n.trained for n in sampled):
        return []
    if seen.average is not None and any(n is seen.average.network for n in sampled):
        return []
    waiting = set().union(*(r.ids for r in seen.idle), set())
    if any(id(p) in waiting for n in sampled for p in n.module.parameters()):
        return []  # their optimizer has not stepped, which is another fault
    names = ", ".join(n.name for n in sampled)
    if all(not p.requires_grad for n in sampled for p in n.module.parameters()):
        return [
            Inspection(
                "not_trained",
                "sick",
                f"samples come from {names}, all of whose parameters have requires_grad=False",
                f"set requires_grad_(True) on {names} and give its parameters to an optimizer",
            )
        ]
    return [
        Inspection(
            "parameters_not_optimized",
            "sick",
            f"samples come from {names}, whose parameters no optimizer steps",
            "sample from the network that is trained, or give its parameters to an optimizer",
        )
    ]


def conditions(seen: Observed) -> list[Inspection]:
    """Report an input that was varied and changed nothing (see :mod:`~trainwright.diagnosis.observing.replay`)."""
    result = seen.more.get("condition")
    if not result or result["ignored"] is None:
        return []
    name, index, effect = result["network"], result["ignored"], result["effect"]
    return [
        Inspection(
            "conditioning_ignored",
            "sick",
            f"argument {index + 1} of {name} (shape {result['shape']}) has hardly any effect: "
            f"other values change its output by {effect:.2%}",
            "check how it is embedded: scale of time steps, dtype, and whether the embedding reaches every layer",
        )
    ]


def dependence(seen: Observed) -> list[Inspection]:
    """Report that the output for one row depends on the other rows, or on later elements of its sequence."""
    found = []
    for result in seen.more.get("neighbours") or ():
        if result and result["difference"] > 0.02:
            found.append(
                Inspection(
                    "batch_time_swapped",
                    "sick",
                    f"the output of {result['network']} for one sample depends on the other samples of its batch "
                    f"(by {result['difference']:.0%} of its standard deviation, in evaluation mode)",
                    "check the order of the axes: batch_first, view or reshape where permute is needed, attention over the batch",
                )
            )
    stepwise = any(n > 1 for n in seen.per_sample.values())
    for result in seen.more.get("future") or ():
        if result and stepwise and seen.per_sample.get(result["network"], 0) > 1 and result["earlier"] > 1e-3:
            found.append(
                Inspection(
                    "targets_in_input",
                    "sick",
                    f"outputs of {result['network']} at earlier places depend on later elements of the sequence, "
                    "but sample() builds the sequence step by step",
                    "use a causal mask or causal padding, so that no output sees its own target",
                )
            )
    return found


def statistics(seen: Observed) -> list[Inspection]:
    """Report that a network behaves otherwise in evaluation mode than in training mode."""
    result = seen.more.get("modes")
    if not result or result["difference"] < 0.7:
        return []
    return [
        Inspection(
            "batch_statistics_when_sampling",
            "suspect",
            f"{result['network']} is sampled in {result['sampled']} mode; the other mode changes its output by "
            f"{result['difference']:.0%} of its standard deviation",
            "sample in the mode whose samples are good, and use GroupNorm or a higher BatchNorm momentum if evaluation mode is bad",
        )
    ]


def sampler(seen: Observed) -> list[Inspection]:
    """Report the test of the user's sampler with an exact denoiser (see :mod:`~trainwright.diagnosis.observing.sampler`)."""
    found = []
    result = seen.more.get("sampler")
    if result and result["prediction"] and not result["passes"]:
        what = {"noise": "the noise", "clean": "the clean image", "velocity": "the velocity v"}
        trained = what[result["prediction"]]
        if result["passes_as"]:
            found.append(
                Inspection(
                    "prediction_type_mismatch",
                    "sick",
                    f"{result['network']} is trained to predict {trained}, but sample() uses its output as {what[result['passes_as']]}",
                    f"convert the output in sample(), or train {result['network']} to predict {what[result['passes_as']]}",
                )
            )
        else:
            found.append(
                Inspection(
                    "sampler_step_mismatch",
                    "sick",
                    f"with an exact denoiser of Gaussian data, sample() returns a standard deviation of {result['std']:.2f} instead of "
                    f"{result['expected_std']:.2f} and a mean of {result['mean']:.2f} instead of {result['expected_mean']:.2f}",
                    "check the update of sample(): the step before (t - stride, not t - 1), the order of the steps, alpha or alpha-bar",
                )
            )
    if seen.alphas is not None:
        signal = math.sqrt(float(seen.alphas[-1]))
        if signal > 0.25:
            found.append(
                Inspection(
                    "schedule_leaves_signal",
                    "suspect",
                    f"at the last time step {signal:.0%} of the image is left, but sample() starts from pure noise",
                    "use more steps, larger betas, or a schedule that ends at zero signal",
                )
            )
        used = [
            index
            for call in seen.calls
            if len(call.arguments) > 1 and (index := time_index(call.arguments[1].values, len(seen.alphas))) is not None
        ]
        if float(seen.alphas[0]) >= 1 - 1e-7 and any(bool((i == 0).any()) for i in used):
            broken = seen.samples is not None and not bool(torch.isfinite(seen.samples).all())
            found.append(
                Inspection(
                    "schedule_begins_without_noise",
                    "sick" if broken else "suspect",
                    "alpha-bar is 1 at the first time step, so there is no noise to predict, and a step that divides by 1 - alpha-bar "
                    f"{'gave samples that are not finite' if broken else 'is not defined'}",
                    "compute alpha-bar as the product of 1 - beta, whose first value is below 1, or begin at the second time step",
                )
            )
    scale = seen.more.get("noised_std")
    if scale and (scale["std"] > 2.5):
        images = seen.real is not None and seen.real.ndim == 4 and seen.real.shape[1] in (1, 3)
        found.append(
            Inspection(
                "data_range" if images else "latents_not_scaled",
                "sick",
                f"the noised inputs of {scale['network']} have a standard deviation of {scale['std']:.1f}; "
                "a noise schedule expects about 1",
                f"divide the clean data (latents) by their standard deviation, about {scale['std']:.1f}, and multiply samples by it",
            )
        )
    if any(f.cause == "schedule_begins_without_noise" and f.severity == "sick" for f in found):
        return [f for f in found if f.cause != "sampler_step_mismatch"]  # the exact denoiser divides by the same 0
    return found


INSPECTIONS: tuple[Inspect, ...] = (averages, untrained, conditions, dependence, statistics, sampler)

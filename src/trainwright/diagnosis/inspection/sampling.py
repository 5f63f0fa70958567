"""Inspections of sampling: which weights, which statistics, which conditions, and whether a sampler inverts its noise schedule."""

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from trainwright.diagnosis.inspection import Inspect, Inspection
from trainwright.diagnosis.observing.observer import Observed
from trainwright.diagnosis.observing.sampler import time_index

LEAST_DECODED = 6  # calls in one sample, from which sequences are built element by element
REPEATS = 0.15  # share of repeated triples above that of real sequences
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
    by_name = {n.name: n for n in seen.networks}
    for result in seen.more.get("neighbours") or ():
        network = by_name.get(result["network"]) if result else None
        if result and result["difference"] > NEIGHBOURS and not (network and seen.time_first(network)):
            found.append(
                Inspection(
                    "batch_time_swapped",
                    "sick",
                    f"the output of {result['network']} for one sample depends on the other samples of its batch "
                    f"(by {result['difference']:.2g} of its standard deviation, in evaluation mode)",
                    "check the order of the axes: batch_first, view or reshape where permute is needed, attention over the batch",
                )
            )
    stepwise = any(n > 1 for n in seen.per_sample.values())
    for result in seen.more.get("future") or ():
        network = by_name.get(result["network"]) if result else None
        if network is None or seen.fills_in(network) or seen.time_first(network):
            continue
        if stepwise and seen.per_sample.get(network.name, 0) > 1 and result["earlier"] > 1e-3:
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
    """Report the tests of the user's sampler, its schedule, and the scale of what it works on."""
    found = [*_with_exact_denoiser(seen), *_with_exact_velocities(seen), *_schedule(seen), *_scale(seen)]
    if any(f.cause == "schedule_begins_without_noise" and f.severity == "sick" for f in found):
        return [f for f in found if f.cause != "sampler_step_mismatch"]  # the exact denoiser divides by the same 0
    return found


def _with_exact_denoiser(seen: Observed) -> list[Inspection]:
    """Report the test with an exact denoiser (see :mod:`~trainwright.diagnosis.observing.sampler`)."""
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
    return found


def _with_exact_velocities(seen: Observed) -> list[Inspection]:
    """Report the test of flow matching with exact velocities, and its noise."""
    found = []
    if seen.more.get("same_noise"):
        name, same = seen.more["same_noise"]
        when = (
            "in every step"
            if same == "step"
            else "for a sample whenever it is used, so that pairs are learned by heart"
        )
        found.append(
            Inspection(
                "noise_drawn_once",
                "sick",
                f"the noise in the inputs and targets of {name} is the same {when}",
                "draw new noise in each step: torch.randn_like(x)",
            )
        )
    straight = seen.more.get("path") if not seen.more.get("same_noise") else None
    if straight and not straight["passes"]:
        other = straight["passes_as"]
        name, trained = straight["network"], straight["path"]
        if other is not None:
            turned = other.to_data != trained.to_data
            found.append(
                Inspection(
                    "prediction_type_mismatch" if not turned else "sampler_step_mismatch",
                    "sick",
                    f"{name} is trained to predict {trained.words} with data at time {trained.scale * trained.to_data:g}, but sample() "
                    f"uses it as {other.words}"
                    + (f" with data at time {other.scale * other.to_data:g}" if turned else ""),
                    "let time run in sample() from the noise to the data of training, and add the velocity with the sign of training",
                )
            )
        else:
            found.append(
                Inspection(
                    "sampler_step_mismatch",
                    "sick",
                    f"with exact velocities for Gaussian data, sample() returns a deviation of {straight['std']:.2f} instead of "
                    f"{straight['expected_std']:.2f} and a mean of {straight['mean']:.2f} instead of {straight['expected_mean']:.2f}",
                    "check the steps of sample(): they add up to the whole time, the time of each is given to the network, and the "
                    "first begins with the noise of training",
                )
            )
    return found


def _schedule(seen: Observed) -> list[Inspection]:
    """Judge both ends of a schedule alpha-bar."""
    found = []
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
    return found


def _scale(seen: Observed) -> list[Inspection]:
    """Judge the scale of noised inputs, and of data beside their noise."""
    found = []
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
    small = _small_data(seen)
    if small is not None:
        found.append(small)
    return found


def dropping(seen: Observed) -> list[Inspection]:
    """Find a network that is sampled in training mode although it has dropout."""
    for network in seen.networks:
        calls = seen.in_sampling(network)
        if not calls or network.role == "generator" or not all(c.training for c in calls):
            continue
        drops = [
            m
            for m in network.module.modules()
            if isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0 and m.training
        ]
        if drops:
            return [
                Inspection(
                    "batch_statistics_when_sampling",
                    "suspect",
                    f"sample() calls {network.name} in training mode, in which its dropout ({max(m.p for m in drops):g}) "
                    "also falls on samples",
                    f"call {network.name}.eval() in sample(), and {network.name}.train() afterwards",
                )
            ]
    return []


def circling(seen: Observed) -> list[Inspection]:
    """Find sequences of symbols that go round in circles because ``sample()`` draws none of their elements.

    The most probable element is a usual choice for translations, so it is reported only if sequences repeat themselves more than
    real ones, or hardly differ, once two fifths of the run are over.
    """
    x, real = seen.samples, seen.real
    if (
        x is None
        or real is None
        or x.ndim != 2
        or x.is_floating_point()
        or not seen.total
        or seen.step < 0.4 * seen.total
    ):
        return []
    for network in seen.networks:
        states = [c.random for c in seen.in_sampling(network)]
        if len(states) < LEAST_DECODED or None in states or len(set(states)) > 1:
            continue
        again, usual = _repeats(x), _repeats(real)
        few = len(torch.unique(x, dim=0)) / len(x) < 0.5 * len(torch.unique(real, dim=0)) / len(real)
        if again > usual + REPEATS or few:
            what = (
                f"{again:.0%} of the triples in its sequences are repeats (real ones: {usual:.0%})"
                if again > usual + REPEATS
                else "many of its sequences are the same"
            )
            return [
                Inspection(
                    "sampling_without_noise",
                    "sick",
                    f"sample() draws nothing between the calls of {network.name}, and {what}",
                    "draw each element from the predicted probabilities: torch.multinomial(logits.softmax(-1), 1), not argmax",
                )
            ]
    return []


def _repeats(x: Tensor) -> float:
    """Return the share of triples of neighbours that a sequence had before: (n, L) -> 0 to 1."""
    if x.shape[1] < 6:
        return 0.0
    rows = [list(zip(*(row[k : len(row) - 2 + k] for k in range(3)), strict=True)) for row in x[:64].tolist()]
    return sum(1 - len(set(r)) / len(r) for r in rows) / len(rows)


def undrawn(seen: Observed) -> list[Inspection]:
    """Find samples that are all the same because nothing that the networks are given differs between them."""
    calls = [c for c in seen.calls if c.sampling and c.arguments]
    rows = [[a for a in c.arguments if a.values.ndim and a.shape[0] == c.arguments[0].shape[0]] for c in calls]
    if seen.samples is None or len(seen.samples) < 8 or not calls or bool((seen.samples != seen.samples[:1]).any()):
        return []
    if any(len(a.values) < 4 or a.varies for each in rows for a in each) or not all(rows):
        return []
    name = calls[0].network.name
    return [
        Inspection(
            "sampling_without_noise",
            "sick",
            f"all samples are the same: sample() gives {name} the same input for each of them, and draws nothing",
            "draw noise for each sample, or draw each element from the predicted probabilities (torch.multinomial, not argmax)",
        )
    ]


def hotter(seen: Observed) -> list[Inspection]:
    """Compare the elements that a sampler draws with the probabilities that the network gave to them.

    If they are drawn from these probabilities, their mean negative log-likelihood is the mean entropy.
    """
    for network in seen.networks:
        calls = [c for c in seen.in_sampling(network) if c.arguments and c.output is not None]
        calls = [c for c in calls if not c.arguments[0].floating and c.arguments[0].values.ndim == 2]
        steps: list[tuple[Tensor, Tensor, Tensor]] = []
        for now, after in itertools.pairwise(calls):
            given, following, out = now.arguments[0].values, after.arguments[0].values, now.output
            assert out is not None
            rows = min(len(given), len(following), len(out))
            grown = following.shape[1] == given.shape[1] + 1 and bool((following[:rows, :-1] == given[:rows]).all())
            if not (grown or following.shape[1] == given.shape[1] == 1) or out.ndim not in (2, 3):
                continue
            if out.ndim == 3 and out.shape[1] != given.shape[1]:
                continue
            p = (out[:rows, -1] if out.ndim == 3 else out[:rows]).float().log_softmax(-1)
            token = following[:rows, -1:].long()
            if int(token.max()) >= p.shape[1] or int(token.min()) < 0:
                continue
            steps.append((p, token, given[:rows].long()))
        steps = _without_padding(steps)
        count = sum(len(p) for p, _, _ in steps)
        if count < 200:
            continue
        drawn, expected = _nats(steps, count)
        ever = torch.cat([token.flatten() for _, token, _ in steps]).unique()
        hot = min(d - e - max(0.4, 0.35 * e) for d, e in _with_exclusions(steps, ever, count))
        if hot > 0:
            outside = torch.cat([_tail(p, token) for p, token, _ in steps])
            evenly = len(outside) > 0.1 * count and abs(float(outside.mean())) < 3 / math.sqrt(12 * len(outside)) + 0.02
            if evenly and len(outside) >= 48:
                return [
                    Inspection(
                        "sampling_filter_wrong",
                        "sick",
                        f"{len(outside) / count:.0%} of the elements that sample() draws are none of the {LIKELY} likeliest, and are "
                        f"drawn evenly, whatever probabilities {network.name} gives to them",
                        "set the logits of what is excluded to -inf before the softmax, and keep the largest, not the smallest",
                    )
                ]
            return [
                Inspection(
                    "temperature",
                    "sick",
                    f"the elements that sample() draws are less likely than {network.name} says: {drawn:.2f} nats each, where "
                    f"its probabilities have an entropy of {expected:.2f}",
                    "draw from softmax(logits / temperature) with a temperature of at most 1, and check that logits are not scaled",
                )
            ]
    return []


def _without_padding(steps: list[tuple[Tensor, Tensor, Tensor]]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Leave out what follows the end of a sequence: an element that only itself follows, and what is always followed by it."""
    after: dict[int, set[int]] = {}
    for _, token, context in steps:
        for a, b in zip(context[:, -1].tolist(), token.flatten().tolist(), strict=True):
            after.setdefault(a, set()).add(b)
    absorbing = {a for a, following in after.items() if following == {a}}
    ended = torch.tensor(
        [a for a, following in after.items() if len(following) == 1 and following <= absorbing], dtype=torch.long
    )
    kept = [~torch.isin(context[:, -1], ended) for _, _, context in steps]
    return [(p[k], token[k], context[k]) for (p, token, context), k in zip(steps, kept, strict=True) if bool(k.any())]


def _nats(steps: list[tuple[Tensor, Tensor, Tensor]], count: int) -> tuple[float, float]:
    """Return the mean negative log-likelihood of what was drawn, and the mean entropy, from (log p, drawn, context) of each step."""
    drawn = sum(float(-p.gather(1, token).sum()) for p, token, _ in steps)
    entropy = sum(float(-(p.exp() * p.clamp_min(-1e4)).sum()) for p, _, _ in steps)
    return drawn / count, entropy / count


def _with_exclusions(
    steps: list[tuple[Tensor, Tensor, Tensor]], ever: Tensor, count: int
) -> Iterator[tuple[float, float]]:
    """Yield the same as :func:`_nats` for samplers that never draw some elements, that repeat none, or both."""
    for some, once in itertools.product((False, True), (False, True)):
        changed = []
        for p, token, context in steps:
            q = p.clone()
            if some:
                never = torch.ones(p.shape[1], dtype=torch.bool)
                never[ever] = False
                q[:, never] = -torch.inf
            if once:
                q.scatter_(1, context.clamp(0, p.shape[1] - 1), -torch.inf)
                q.scatter_(1, token, p.gather(1, token))
            changed.append((q.log_softmax(1), token, context))
        yield _nats(changed, count)


def _tail(p: Tensor, token: Tensor) -> Tensor:
    """Return the ranks of drawn elements among those that are not likely, from -0.5 to 0.5, which even draws fill evenly."""
    if p.shape[1] < LIKELY + 8:
        return torch.empty(0)
    rank = (p > p.gather(1, token)).sum(1)
    return (rank[rank >= LIKELY] - LIKELY + 0.5) / (p.shape[1] - LIKELY) - 0.5


LIKELY = 10  # elements


def _small_data(seen: Observed) -> Inspection | None:
    """Find data whose deviation is far below that of the noise, so that they vanish in it at the first time steps."""
    for network in seen.networks:
        if seen.per_sample.get(network.name, 0) < 5 or seen.real is None or not network.trained:
            continue
        std = float(seen.real.float().std())
        calls = [
            c for c in seen.in_use(network) if len(c.arguments) > 1 and c.arguments[0].shape[1:] == seen.real.shape[1:]
        ]
        if std >= SMALL_DATA or len(calls) < 4:
            continue
        rows = torch.cat([c.arguments[0].values.float().flatten(1) for c in calls])
        if rows.shape[1] < 8 or float(rows.std()) < 3 * std or float(rows.std(1).quantile(0.02)) > 8 * std:
            continue
        return Inspection(
            "latents_not_scaled",
            "sick",
            f"the data have a standard deviation of {std:.2g}, and the noise that {network.name} is trained with one of about 1: "
            "at most time steps nothing of the data is left",
            "divide the data by their standard deviation before noise is added, and multiply samples by it",
        )
    return None


NEIGHBOURS = 5e-3  # change of an output by other rows, in its standard deviations; rounding makes 1e-6 of it
SMALL_DATA = 0.12  # deviation of data; images between -1 and 1 have 0.3 to 0.7

INSPECTIONS: tuple[Inspect, ...] = (
    averages,
    untrained,
    conditions,
    dependence,
    statistics,
    dropping,
    undrawn,
    circling,
    hotter,
    sampler,
)

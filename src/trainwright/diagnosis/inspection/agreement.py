"""Inspections that compare training with ``sample()``: what networks are given there, and what they make of it."""

import itertools
import math

import torch
from torch import Tensor

from trainwright.diagnosis.inspection import Inspect, Inspection
from trainwright.diagnosis.inspection.diffusion import is_timed
from trainwright.diagnosis.observing.calls import Argument, Call
from trainwright.diagnosis.observing.networks import Network
from trainwright.diagnosis.observing.observer import Observed

LEAST = 4  # calls
FIRST_STEPS = 20  # after which a network is expected to predict numbers of the size of its targets
NEAR_INPUTS, FAR_INPUTS = 1.5, 3.0  # difference of quantiles from those of training, in deviations of these
MANY = 256  # numbers, for a comparison of distributions
MOST_NUMBERS = 30_000  # numbers that are compared, about
APART = 1.0  # difference of quantiles, in deviations of the narrower distribution
OUTSIDE = 0.25  # share of numbers
NARROWER = 5.0  # ratio of deviations; a condition may be sampled for some of its values only
AT = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)


def fakes(seen: Observed) -> list[Inspection]:
    """Compare the samples that a discriminator is trained on with those that the generator is scored on, and with ``sample()``."""
    for d in (n for n in seen.networks if n.role == "discriminator" and n.trained):
        calls = [
            c for c in seen.in_use(d) if c.arguments and c.arguments[0].floating and c.arguments[0].values.ndim > 1
        ]
        judged = [c for c in calls if c.source == "generated"]
        scored = [c for c in calls if c.source == "attached"]
        if (
            min(len(judged), len(scored)) >= LEAST
            and judged[0].arguments[0].shape[1:] == scored[0].arguments[0].shape[1:]
        ):
            turns = {c.turn for c in judged} & {c.turn for c in scored}
            a, b = (_numbers([c for c in part if c.turn in turns]) for part in (judged, scored))
            if min(len(a), len(b)) >= MANY and _apart(a, b) > APART:
                return [
                    Inspection(
                        "output_activation",
                        "sick",
                        f"{d.name} is trained on other samples ({_described(a)}) than those that it scores for the generator "
                        f"({_described(b)})",
                        f"give {d.name} the same output, after the same activations, in both losses",
                    )
                ]
        found = _beside_samples(seen, d, calls, scored)
        if found is not None:
            return [found]
    return []


def _beside_samples(seen: Observed, d: Network, calls: list[Call], scored: list[Call]) -> Inspection | None:
    """Compare what a discriminator scores for the generator with what ``sample()`` returns, if real data are the same in both."""
    if seen.samples is None or seen.real is None or not seen.total or seen.step < 0.2 * seen.total:
        return None
    late = [c for c in scored if c.turn > 0.6 * seen.watched and c.arguments[0].shape[1:] == seen.real.shape[1:]]
    real = [c for c in calls if c.source == "data" and c.arguments[0].shape[1:] == seen.real.shape[1:]]
    if len(late) < 2 or len(real) < LEAST or _apart(_numbers(real), _flat(seen.real)) > 0.25:
        return None
    trained, drawn = _numbers(late), _flat(seen.samples)
    if not bool(torch.isfinite(drawn).all()) or min(len(trained), len(drawn)) < MANY:
        return None
    share = max(_outside(trained, drawn), _outside(drawn, trained))
    if share < OUTSIDE:
        return None
    return Inspection(
        "output_activation",
        "sick",
        f"sample() returns other values ({_described(drawn)}) than those of the generator that {d.name} scores "
        f"({_described(trained)}): {share:.0%} of one lie outside of the other",
        "pass the output through the same activation and scaling in sample() as in training",
    )


def conditions(seen: Observed) -> list[Inspection]:
    """Compare conditions (arguments after the first, and channels beside the noisy image) in training and in ``sample()``."""
    for network in seen.networks:
        if not seen.per_sample.get(network.name):
            continue
        source = seen.trained_as(network)
        trained = [c for c in seen.in_use(source) if c.graph and c.arguments]
        drawn = [c for c in seen.in_sampling(network) if c.arguments]
        if not source.trained or len(trained) < LEAST or not drawn or not drawn[0].arguments[0].floating:
            continue
        timed = seen.per_sample[network.name] > 4
        for place in range(1, min(len(trained[-1].arguments), len(drawn[-1].arguments))):
            if any(len(c.arguments) <= place for c in (*trained, *drawn)):
                continue
            shape = trained[-1].arguments[place].shape
            if timed and (math.prod(shape[1:]) == 1 or (place == 1 and len(shape) < 3)):
                continue  # the time step or noise level, or its embedding
            what = _differ([c.arguments[place] for c in trained], [c.arguments[place] for c in drawn])
            if what:
                return [_condition(f"argument {place + 1} of {network.name}", what)]
        found = _channels(seen, network, trained, drawn) if timed else ""
        if found:
            return [_condition(f"what {network.name} is given beside the noisy data", found)]
    return []


def _condition(name: str, what: str) -> Inspection:
    return Inspection(
        "condition_differs_when_sampling",
        "sick",
        f"{name} {what}",
        "encode, mask and scale the condition by the same function in training and in sample()",
    )


def _differ(trained: list[Argument], drawn: list[Argument]) -> str:
    """Return how a condition differs in words; empty if it does not."""
    if not all(
        a.values.ndim == trained[0].values.ndim > 0 and a.shape[1:] == trained[0].shape[1:] for a in (*trained, *drawn)
    ):
        return ""
    a, b = (torch.cat([x.values.reshape(len(x.values), -1) for x in part]).float() for part in (trained, drawn))
    if min(len(a), len(b)) < 16:
        return ""
    if a.shape[1] > 1 and bool((a != a[:1]).any()):
        hot = [bool(((x == 0) | (x == 1)).all()) and bool((x.sum(1) == 1).all()) for x in (a, b)]
        if hot[0] != hot[1] and bool((b == b.round()).all()) and float((b.abs().sum(1) > 0).float().mean()) > 0.5:
            return f"is one-hot in {'training' if hot[0] else 'sample()'} and is not in {'sample()' if hot[0] else 'training'}"
    if bool((a == a.round()).all()) and bool((b == b.round()).all()):
        if a.shape[1] == 1 and len(a) >= 64:
            known = set(a.flatten().tolist())
            strange = sum(x not in known for x in b.flatten().tolist()) / len(b)
            if strange > 0.3 and len(known) <= len(a) // 8:
                return f"has values in sample() that it never has in training ({strange:.0%} of them)"
        return ""
    narrow, wide = float(b.std()), float(a.std())
    if (
        min(a.numel(), b.numel()) >= MANY
        and narrow > 0
        and (_outside(b.flatten(), a.flatten()) > 0.4 or wide > NARROWER * narrow)
    ):
        return f"has other values in sample() ({_described(b.flatten())}) than in training ({_described(a.flatten())})"
    return ""


def _channels(seen: Observed, network: Network, trained: list[Call], drawn: list[Call]) -> str:
    """Compare the channels after those of an image; they hold a mask, an image to be changed, or the like."""
    x, y = trained[-1].arguments[0].values, drawn[-1].arguments[0].values
    if seen.real is None or x.ndim != 4 or y.shape[1:] != x.shape[1:] or x.shape[2:] != seen.real.shape[2:]:
        return ""
    own = seen.real.shape[1] if seen.real.ndim == 4 else 0
    if not 0 < own < x.shape[1]:
        return ""
    a, b = (
        torch.cat(
            [c.arguments[0].values[:, own:].float() for c in part if c.arguments[0].values.shape[1:] == x.shape[1:]]
        )
        for part in (trained, drawn[:8])
    )
    for channel in range(a.shape[1]):
        one, other = a[:, channel].flatten(), b[:, channel].flatten()
        if max(_outside(one, other), _outside(other, one)) > 0.1 and bool(other.std() > 0):
            return f"differs: channel {own + channel + 1} has {_described(one)} in training and {_described(other)} in sample()"
    return ""


def fed_back(seen: Observed) -> list[Inspection]:
    """Compare what a rollout feeds back, in the second call of ``sample()``, with the inputs of training."""
    for network in seen.networks:
        if not network.trained or seen.per_sample.get(network.name, 0) < 2 or seen.step < FIRST_STEPS:
            continue
        drawn = [c for c in seen.in_sampling(network) if c.arguments and c.arguments[0].floating]
        trained = [c for c in seen.in_use(network) if c.graph and c.arguments and c.arguments[0].floating]
        if len(drawn) < 2 or len(trained) < LEAST or any(is_timed(c) for c in (*drawn[:2], trained[-1])):
            continue
        if len({c.arguments[0].shape[1:] for c in (*drawn[:2], *trained)}) > 1:
            continue
        known, first, second = (
            _numbers(trained),
            _flat(drawn[0].arguments[0].values),
            _flat(drawn[1].arguments[0].values),
        )
        width = float(known.std())
        if min(len(known), len(first), len(second)) < MANY // 4 or width <= 0 or not bool(second.isfinite().all()):
            continue
        given = [_flat(c.output) for c in trained if c.output is not None and c.output.is_floating_point()]
        put_out = torch.cat(given) if given else first  # far from the inputs too if nothing is learned yet
        near, far = (float((_quantiles(x) - _quantiles(known)).abs().max()) / width for x in (first, second))
        shifted = abs(float(put_out.median()) - float(known.median())) / width
        if max(near, shifted) < NEAR_INPUTS and far > FAR_INPUTS:
            return [
                Inspection(
                    "rollout_not_normalized",
                    "sick",
                    f"sample() feeds back to {network.name} other values ({_described(second)}) than those that it is trained with "
                    f"({_described(known)})",
                    "feed back the output as the network gives it, in the units of training, and scale only what is returned",
                )
            ]
    return []


def windows(seen: Observed) -> list[Inspection]:
    """Follow the window (n, T) or (n, T, F) of a forecast through ``sample()``: each step moves it by one towards the past."""
    for network in seen.networks:
        calls = [c for c in seen.in_sampling(network) if c.arguments]
        calls = [c for c in calls if c.arguments[0].floating and c.arguments[0].values.ndim in (2, 3)]
        if not network.trained or len(calls) < LEAST or any(is_timed(c) for c in calls):
            continue
        kept = back = still = total = 0
        for now, after in itertools.pairwise(calls):
            x, y = now.arguments[0].values, after.arguments[0].values
            if x.shape != y.shape or x.shape[1] < 4 or len(x) < 2 or not bool((x[:, 1:] != x[:, :-1]).any()):
                continue
            total += 1
            kept += bool((y[:, :-1] == x[:, 1:]).float().mean() > 0.9)
            back += bool((y[:, 1:-1] == x[:, :-2]).float().mean() > 0.9)
            others = zip(now.arguments[1:], after.arguments[1:], strict=False)
            still += bool((y == x).all()) and all(torch.equal(a.values, b.values) for a, b in others)
        if total < LEAST - 1 or kept > 0.2 * total or max(back, still) < 0.8 * total:
            continue
        return [
            Inspection(
                "rollout_window_wrong",
                "sick",
                f"in sample(), {network.name} gets "
                + (
                    "a window whose elements are moved towards its end in each step, so that they are out of order"
                    if back > still
                    else "the same window in each step, so that it predicts the same element again"
                ),
                "drop the oldest element and append the prediction: torch.cat([window[:, 1:], prediction[:, None]], 1)",
            )
        ]
    return []


def contexts(seen: Observed) -> list[Inspection]:
    """Compare the contexts of a sequence model in ``sample()`` with those of training: their length, and what they begin with."""
    for network in seen.networks:
        if seen.per_sample.get(network.name, 0) < 4 or not network.trained:
            continue
        trained = [c.arguments[0] for c in seen.in_use(network) if c.graph and c.arguments]
        drawn = [c.arguments[0] for c in seen.in_sampling(network) if c.arguments]
        if (
            any(a.floating or a.values.ndim != 2 or a.shape[1] < 1 for a in (*trained, *drawn))
            or len(trained) < LEAST
            or not drawn
        ):
            continue
        longest, asked = (max(a.shape[1] for a in part) for part in (trained, drawn))
        if longest == 1 or asked < 2:
            continue  # a recurrent network, step by step
        first = torch.cat([a.values[:, 0] for a in trained]).tolist()
        known = set(torch.cat([a.values.flatten() for a in trained]).tolist())
        begin = drawn[0].values[:, 0].tolist()
        strange = sum(t not in known for t in begin) / len(begin)
        if strange > 0.9 and len(first) >= 64:
            return [
                Inspection(
                    "condition_differs_when_sampling",
                    "sick",
                    f"sample() begins the sequences of {network.name} with the element {int(begin[0])}, which training never holds",
                    "begin with what the sequences of training begin with, or put the start symbol before each of them in training",
                )
            ]
        if (
            asked > 1.5 * longest
            and seen.holds("Attention", "Transformer", network=network)
            and max(a.shape[0] for a in trained) > 1
        ):
            return [
                Inspection(
                    "condition_differs_when_sampling",
                    "suspect",
                    f"sample() gives {network.name} up to {asked} elements at once, but it is trained on at most {longest}",
                    "give the network no longer context than in training: the newest elements only",
                )
            ]
    return []


def states(seen: Observed) -> list[Inspection]:
    """Find a recurrent network that is sampled one element at a time without its state."""
    for network in seen.networks:
        if (
            seen.per_sample.get(network.name, 0) < 4
            or not network.trained
            or not seen.holds("LSTM", "GRU", "RNN", network=network)
        ):
            continue
        trained = [c for c in seen.in_use(network) if c.graph and c.arguments]
        drawn = [c for c in seen.in_sampling(network) if c.arguments]
        single = [c for c in drawn if c.arguments[0].values.ndim > 1 and c.arguments[0].shape[1] == 1]
        longer = [c for c in trained if c.arguments[0].values.ndim > 1 and c.arguments[0].shape[1] > 3]
        if len(single) < 4 or len(single) < 0.9 * len(drawn) or len(longer) < LEAST or is_timed(drawn[-1]):
            continue
        if any(len(c.arguments) > 1 or c.template is None for c in single):
            continue  # a state, or something that may hold one
        if any(isinstance(v, Tensor) and v.ndim > 1 for m in network.module.modules() for v in vars(m).values()):
            continue  # a state inside of the network
        return [
            Inspection(
                "hidden_state_lost",
                "sick",
                f"sample() gives {network.name} one element at a time and no state, so it knows nothing of those before",
                "pass the state of one call to the next, or the whole sequence so far",
            )
        ]
    return []


def memories(seen: Observed) -> list[Inspection]:
    """Report a sequence model whose outputs do not depend on earlier elements (see ``test_future``)."""
    for result in seen.more.get("future") or ():
        if not result or not result["past"] < 1e-6 or result["own"] < 1e-3:
            continue
        network = next((n for n in seen.networks if n.name == result["network"]), None)
        if (
            network is None
            or seen.time_first(network)
            or seen.per_sample.get(network.name, 0) < 2
            or any(is_timed(c) for c in seen.in_use(network))
        ):
            continue
        if not seen.holds("LSTM", "GRU", "RNN", "Attention", "Transformer", "Conv1d", "Cell", network=network):
            continue  # a model of neighbours by design
        return [
            Inspection(
                "hidden_state_lost",
                "sick",
                f"the outputs of {network.name} depend on the newest element alone: others before it change nothing",
                "pass the state of each step to the next one; check the mask of attention",
            )
        ]
    return []


def orders(seen: Observed) -> list[Inspection]:
    """Report elements that are drawn before others on which they depend (see ``test_order``)."""
    result = seen.more.get("order")
    if not result or result["own"] > 1e-5 or result["later"] < 1e-3:
        return []
    return [
        Inspection(
            "sampling_order_wrong",
            "sick",
            f"sample() draws elements from {result['network']} before others on which they depend",
            "draw the elements in the order of the network's masks; argsort turns ranks into an order",
        )
    ]


def _numbers(calls: list[Call]) -> Tensor:
    every = max(1, sum(c.arguments[0].values.numel() for c in calls) // MOST_NUMBERS)
    return (
        torch.cat([c.arguments[0].values.flatten()[::every].float().cpu() for c in calls]) if calls else torch.empty(0)
    )


def _flat(values: Tensor) -> Tensor:
    return values.float().flatten().cpu()


def _quantiles(x: Tensor) -> Tensor:
    return x[:: max(1, len(x) // 50_000)].quantile(torch.tensor(AT))


def _apart(a: Tensor, b: Tensor) -> float:
    """Return the largest difference of quantiles, in deviations of the narrower distribution."""
    width = max(min(float(a.std()), float(b.std())), 1e-3 * max(float(a.std()), float(b.std())), 1e-9)
    return float((_quantiles(a) - _quantiles(b)).abs().max()) / width


def _outside(a: Tensor, b: Tensor) -> float:
    """Return the share of numbers a outside of the range of b, which is widened by a fifth."""
    low, high = float(b.min()), float(b.max())
    room = 0.2 * max(high - low, 1e-9)
    return float(((a < low - room) | (a > high + room)).float().mean())


def _described(x: Tensor) -> str:
    q = _quantiles(x)
    return f"{float(q[0]):.2g} to {float(q[-1]):.2g}, middle {float(q[3]):.2g}"


INSPECTIONS: tuple[Inspect, ...] = (fakes, conditions, fed_back, windows, contexts, states, memories, orders)

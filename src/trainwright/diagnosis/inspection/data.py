"""Inspections of data and inputs: range compared with the output's, repeated batches, state carried over."""

import math

import torch
from torch import Tensor

from trainwright.diagnosis.inspection import Inspect, Inspection
from trainwright.diagnosis.observing.calls import Call
from trainwright.diagnosis.observing.networks import Network
from trainwright.diagnosis.observing.observer import Observed
from trainwright.diagnosis.observing.sampler import neighbours

BOUNDED = {"Tanh": (-1.0, 1.0), "Sigmoid": (0.0, 1.0), "Hardtanh": (-1.0, 1.0), "Softmax": (0.0, 1.0)}
POSITIVE = ("Relu", "Softplus", "Exp", "ReLU")  # activations whose output is never negative
MOST_IMAGES = 32  # images whose neighbouring pixels are compared
REPEATED = 6  # equal inputs in different steps


def ranges(seen: Observed) -> list[Inspection]:
    """Compare the range of the data with that of a bounded output."""
    for network in seen.networks:
        if not seen.per_sample.get(network.name) and network.role not in ("generator", "decoder"):
            continue
        bound, kind = _bound(seen, network)
        if bound is None:
            continue
        data = _data_beside(seen, network)
        if data is None:
            continue
        (low, high), (first, last) = bound, data
        if math.isinf(high):
            if first < -0.1 * (last - first):
                return [
                    Inspection(
                        "output_activation",
                        "sick",
                        f"the data lie in [{first:.3g}, {last:.3g}], but {network.name} ends in {kind}, which is never negative",
                        f"remove the last activation of {network.name}, or use one of the range of the data (a tanh for -1 to 1)",
                    )
                ]
            continue
        width = high - low
        if first < low - 0.05 * width or last > high + 0.05 * width:
            return [
                Inspection(
                    "data_range",
                    "sick",
                    f"the data lie in [{first:.3g}, {last:.3g}], but {network.name} ends in {kind}, between {low:g} and {high:g}",
                    f"scale the data to [{low:g}, {high:g}], or change the last activation of {network.name}",
                )
            ]
        if kind == "a tanh" and first > -0.05 and last <= 1.05:
            return [
                Inspection(
                    "data_range",
                    "suspect",
                    f"the data lie in [{first:.3g}, {last:.3g}], but {network.name} ends in a tanh, whose range is [-1, 1]",
                    "scale the data to [-1, 1], or end in a sigmoid",
                )
            ]
        if last - first < 0.3 * width:
            return [
                Inspection(
                    "data_range",
                    "suspect",
                    f"the data lie in [{first:.3g}, {last:.3g}], a small part of the range [{low:g}, {high:g}] of {network.name}",
                    f"scale the data to [{low:g}, {high:g}]",
                )
            ]
    return []


def _bound(seen: Observed, network: Network) -> tuple[tuple[float, float] | None, str]:
    """Return the range of a network's last activation, from its graph or from its last layer."""
    lasts = {c.last for c in seen.calls if c.network is network and c.last}
    while len(lasts) == 1:
        last = lasts.pop()
        if last in BOUNDED:
            return BOUNDED[last], f"a {last.lower()}"
        if last in POSITIVE:
            return (0.0, math.inf), f"a {last.lower()}"
        if last in ("View", "Reshape", "UnsafeView", "Squeeze", "Unsqueeze", "Permute", "Transpose"):
            break
        return None, ""
    layers = [m for m in network.module.modules() if not list(m.children())]
    name = type(layers[-1]).__name__ if layers else ""
    if name in ("Unflatten", "Flatten", "Identity") and len(layers) > 1:
        name = type(layers[-2]).__name__
    if name in POSITIVE:
        return (0.0, math.inf), f"a {name.lower()}"
    return (BOUNDED[name], f"a {name.lower()}") if name in BOUNDED and layers else (None, "")


def _data_beside(seen: Observed, network: Network) -> tuple[float, float] | None:
    """Return the range of real data that the network's output is compared with: by the watch, or in a discriminator."""
    if seen.real is not None and seen.samples is not None:
        own = [c for c in seen.in_sampling(network) if c.output is not None]
        if own and own[-1].output is not None and _same(own[-1].output, seen.samples):
            return float(seen.real.min()), float(seen.real.max())  # otherwise the user's sample() scales the output
    for d in seen.networks:
        if d.role != "discriminator":
            continue
        real = [c.arguments[0].values for c in seen.in_use(d) if c.source == "data" and c.arguments]
        forms = {c.output.shape[1:] for c in seen.in_use(network) if c.output is not None}
        made = [
            c for c in seen.in_use(d) if c.source in ("generated", "attached") and c.arguments[0].shape[1:] in forms
        ]
        if real and made and made[0].arguments[0].shape[1:] == real[0].shape[1:]:
            return min(float(r.min()) for r in real), max(float(r.max()) for r in real)
    return None


def _same(output: Tensor, samples: Tensor) -> bool:
    rows = min(len(output), len(samples))
    a, b = output[:rows].flatten().float().cpu(), samples[:rows].flatten().float().cpu()
    return len(a) == len(b) and bool((a - b).abs().max() < 1e-5)


def repeated(seen: Observed) -> list[Inspection]:
    """Find inputs that are the same in every step, and noise that is the same for all samples of a batch."""
    found = []
    for network in seen.networks:
        if not network.trained:
            continue
        calls = [c for c in seen.in_use(network) if c.arguments and c.source != "penalty"]
        calls = [
            c
            for c in calls
            if c.arguments[0].floating or (c.arguments[0].values.ndim == 2 and c.arguments[0].shape[1] > 3)
        ]
        noise = _draws_noise(seen, network, calls)
        judge = network.role == "discriminator"
        if judge:
            calls = [c for c in calls if c.source == "data"]
        ticks = {c.tick for c in calls if c.arguments[0].varies}
        if len(ticks) >= REPEATED:
            sums = {round(c.arguments[0].checksum, 4) for c in calls if c.arguments[0].varies}
            rows = calls[0].arguments[0].shape[0] if calls[0].arguments[0].shape else 0
            if len(sums) != 1 or (seen.real is not None and rows >= len(seen.real)):
                continue  # or every step sees all data
            what = "noise" if noise else "real batch" if judge else "batch"
            found.append(
                Inspection(
                    "noise_drawn_once" if noise else "same_batch_every_step",
                    "sick" if seen.real is not None else "suspect",
                    f"{network.name} gets the same {what} in every step",
                    "draw new noise in each step"
                    if noise
                    else "take the next batch in each step; make the iterator once, before the loop",
                )
            )
        elif noise and _same_for_all(seen, network, calls):
            found.append(
                Inspection(
                    "noise_drawn_once",
                    "sick",
                    f"{network.name} gets the same noise for all samples of a batch in training, and other noise for each in sample()",
                    "draw noise for each sample: torch.randn(batch_size, ...), not one row that is expanded",
                )
            )
    return found


def _draws_noise(seen: Observed, network: Network, calls: list[Call]) -> bool:
    """True if a network turns noise into samples in one call."""
    if calls and not calls[0].arguments[0].floating:
        return False
    if network.role in ("generator", "decoder"):
        return network.role == "generator"
    if seen.real is None or not calls or not calls[0].arguments[0].floating or seen.per_sample.get(network.name) != 1:
        return False
    return network.role == "model" and calls[0].arguments[0].shape[1:] != seen.real.shape[1:]


def _same_for_all(seen: Observed, network: Network, calls: list[Call]) -> bool:
    several = [c for c in calls if c.arguments[0].shape and c.arguments[0].shape[0] > 3 and c.arguments[0].values.any()]
    drawn = [c for c in seen.in_sampling(network) if c.arguments]
    return (
        len(several) >= REPEATED
        and not any(c.arguments[0].varies for c in several)
        and any(c.arguments[0].varies for c in drawn)
    )


def carried(seen: Observed) -> list[Inspection]:
    """Find a hidden state that goes from one batch into the next."""
    for network in seen.networks:
        calls = seen.in_use(network)
        over: list[Call] = [c for c in calls if c.carried]
        if len(over) >= 3 and len(over) > 0.5 * len({c.tick for c in calls}):
            return [
                Inspection(
                    "hidden_state_carried",
                    "note" if _language(seen, network) else "suspect",
                    f"the state of {network.name} after one batch is its initial state for the next",
                    "start each batch from a zero state, unless each batch continues the sequences of the one before",
                )
            ]
    return []


def _language(seen: Observed, network: Network) -> bool:
    """True if a network of tokens is the only one: a language model, whose batches usually continue the text of those before."""
    tokens = [
        c
        for c in seen.in_use(network)
        if c.arguments and not c.arguments[0].floating and c.arguments[0].values.ndim == 2
    ]
    return bool(tokens) and sum(n.trained for n in seen.networks) == 1


def noises(seen: Observed) -> list[Inspection]:
    """Compare the noise that a generator is trained with and the noise that it is sampled with."""
    for network in seen.networks:
        if not network.trained or seen.per_sample.get(network.name) != 1 or network.role not in ("generator", "model"):
            continue
        trained = _noise([c for c in seen.in_use(network) if c.source == "data"])
        sampled = _noise(seen.in_sampling(network))
        if trained is None or sampled is None or trained.shape[1:] != sampled.shape[1:]:
            continue
        if trained.flatten(1).shape[1] > 1024 or trained.shape[0] < 32 or sampled.shape[0] < 32:
            continue
        a, b = (float(x.std()) for x in (trained, sampled))
        shift = abs(float(trained.mean()) - float(sampled.mean())) / max(a, b, 1e-12)
        reach = [float(x.abs().max()) / max(float(x.std()), 1e-12) for x in (trained, sampled)]
        if reach[0] > 8:
            continue  # inputs of several noise levels
        flat, bell = (
            min(reach),
            max(reach),
        )  # the largest of many uniform numbers is 1.7 deviations, of normal ones above 3
        if max(a, b) > 1.4 * min(a, b) or shift > 0.4 or (flat < 2 and bell > 2.5):
            return [
                Inspection(
                    "noise_distribution_mismatch",
                    "suspect",
                    f"{network.name} is trained with noise of mean {float(trained.mean()):.2f} and deviation {a:.2f}, up to "
                    f"{float(trained.abs().max()):.2f}, and sampled with mean {float(sampled.mean()):.2f} and deviation {b:.2f}, "
                    f"up to {float(sampled.abs().max()):.2f}",
                    "draw the noise from the same distribution in training and in sample()",
                )
            ]
    return []


def _noise(calls: list[Call]) -> Tensor | None:
    values = [
        c.arguments[0].values
        for c in calls
        if c.arguments and c.arguments[0].floating and c.arguments[0].values.ndim > 1
    ]
    values = [v for v in values if v.shape[1:] == values[0].shape[1:]]
    return torch.cat(values).float() if values else None


def scrambled(seen: Observed) -> list[Inspection]:
    """Compare the images that a network gets with ``real``: equal values whose neighbours do not belong together."""
    for network in seen.networks:
        images = [c.arguments[0].values.float() for c in seen.in_use(network) if c.arguments and c.source == "data"]
        images = [x for x in images if x.ndim == 4 and len(x) > 3][-12:]
        turned = [t for x in images if (t := _as_channels_last(x)) is not None]
        if not turned or seen.real is not None:
            continue
        plain, seen_as = (sum(map(neighbours, xs)) / len(xs) for xs in (images, turned))
        if seen_as > max(plain + 0.15, 2 * plain):
            return [
                Inspection(
                    "data_layout",
                    "sick",
                    f"neighbouring pixels of the inputs of {network.name} have a correlation of {plain:.2f}, but of {seen_as:.2f} if "
                    "their numbers are read as (n, H, W, C): the images are scrambled",
                    "turn (H, W, C) into (C, H, W) by permute(), not by view() or reshape(), and look at a batch as images",
                )
            ]
    if seen.real is None or seen.real.ndim != 4:
        return []
    some = seen.real[:MOST_IMAGES].float()
    if "layout" not in seen.more:  # of real, which stays as it is
        other = _as_channels_last(some)
        seen.more["layout"] = neighbours(some), None if other is None else neighbours(other)
    own, turned_round = seen.more["layout"]
    if turned_round is not None and turned_round > own + 0.25:
        n, c, h, w = seen.real.shape
        return [
            Inspection(
                "data_layout",
                "sick",
                f"neighbouring pixels of real have a correlation of {own:.2f}, but of "
                f"{turned_round:.2f} if its numbers are read as ({n}, {h}, {w}, {c}): its images are scrambled",
                "turn (H, W, C) into (C, H, W) by permute(), not by view() or reshape(), and look at a batch as images",
            )
        ]
    for network in seen.networks:
        if not network.trained or seen.per_sample.get(network.name, 0) > 1:
            continue  # the inputs of a denoiser are noisy
        inputs = [c.arguments[0].values for c in seen.in_use(network) if c.source == "data" and c.arguments]
        inputs = [x for x in inputs if x.is_floating_point() and x.shape[1:] == seen.real.shape[1:]]
        if not inputs:
            continue
        at, every = torch.linspace(0.05, 0.95, 10), max(1, sum(x.numel() for x in inputs) // 50_000)
        numbers = torch.cat([x.flatten()[::every].float().cpu() for x in inputs])
        values = [x.quantile(at) for x in (numbers, some.flatten()[:: max(1, some.numel() // 50_000)].cpu())]
        alike = (
            float((values[0] - values[1]).abs().max() / seen.real.std().clamp_min(1e-9)) < 0.25
        )  # the same images, not edges of them
        if not alike:
            continue
        given = torch.cat([x[:8] for x in inputs[:MOST_IMAGES]])[:MOST_IMAGES].float().cpu()
        smooth = [neighbours(given), own]
        if smooth[0] < smooth[1] - 0.3:
            return [
                Inspection(
                    "data_layout",
                    "sick",
                    f"neighbouring pixels of what {network.name} gets have a correlation of {smooth[0]:.2f}, "
                    f"those of real {smooth[1]:.2f}: its images are scrambled",
                    "turn (H, W, C) into (C, H, W) by permute(), not by view() or reshape(), and look at a batch as images",
                )
            ]
    return []


def _as_channels_last(images: Tensor) -> Tensor | None:
    """Return the images as they are if their memory holds (n, H, W, C) under the shape (n, C, H, W); None for one channel."""
    n, c, h, w = images.shape
    return None if c not in (3, 4) or min(h, w) < 8 else images.reshape(n, h, w, c).permute(0, 3, 1, 2)


def parts(seen: Observed) -> list[Inspection]:
    """Report frames or elements of an input on which the output does not depend."""
    for result in seen.more.get("parts") or ():
        if result and len(result["used"]) < result["parts"]:
            name, count, used = result["network"], result["parts"], result["used"]
            return [
                Inspection(
                    "input_repeated",
                    "sick" if len(used) <= count / 2 else "suspect",
                    f"the output of {name} depends on {len(used)} of the {count} parts of its input only "
                    f"(number {', '.join(str(i + 1) for i in used)})"
                    if used
                    else f"the output of {name} does not depend on its input",
                    "in the loop over the parts, give the network the part of this step and the state of the step before",
                )
            ]
    return []


def labels(seen: Observed) -> list[Inspection]:
    """Compare the labels that a generator is trained with, those that it is sampled with, and those of the data."""
    for network in seen.networks:
        if not network.trained or not seen.per_sample.get(network.name) or network.role == "discriminator":
            continue
        known = _labels([c for c in seen.in_use(network) if c.graph])
        judged = [c for n in seen.networks if n.role == "discriminator" for c in seen.in_use(n) if c.source == "data"]
        for asked, place in ((_labels(seen.in_sampling(network)), "sample() asks for"), (_labels(judged), "data have")):
            if len(known) < 64 or len(asked) < 32 or not 1 < len(asked.unique()) <= 1000:
                continue
            shares = {
                int(k): float((asked == k).float().mean()) for k in asked.unique() if not bool((known == k).any())
            }
            likely = 1 / (int(known.max()) - int(known.min()) + 1)  # a sampler may ask for a few of the time steps only
            missing = [k for k, share in shares.items() if len(shares) * (1 - min(share, likely)) ** len(known) < NEVER]
            if missing and int(known.max()) < int(known.min()) + 1000:
                return [
                    Inspection(
                        "label_never_drawn",
                        "sick",
                        f"{network.name} is never trained with the label {', '.join(map(str, missing[:3]))}, which {place}",
                        "draw labels of all classes in training: the upper end of randint() is not drawn",
                    )
                ]
    return []


NEVER = 1e-4  # probability that a label is not drawn by chance


def _labels(calls: list[Call]) -> Tensor:
    """Return the classes that networks were called with, as numbers (n,) or one-hot rows (n, K) after the first argument."""
    found = [k for c in calls for a in c.arguments[1:] if (k := classes(a.values)) is not None]
    return torch.cat(found) if found else torch.empty(0, dtype=torch.long)


def classes(values: Tensor) -> Tensor | None:
    """Return classes (n,) of integers (n,) or one-hot rows (n, K); None for anything else."""
    if values.ndim == 1 and not values.is_floating_point() and values.dtype != torch.bool:
        return values.long().cpu()
    if values.ndim != 2 or values.shape[1] < 2 or not bool(((values == 0) | (values == 1)).all()):
        return None
    return values.argmax(1).cpu() if bool((values.sum(1) == 1).all()) else None


def unscaled(seen: Observed) -> list[Inspection]:
    """Report inputs such as pixels between 0 and 255 that nothing scales before the first layer."""
    for result in seen.more.get("scales") or ():
        if result and result["std"] > 20 and "Norm" not in result["layer"]:
            return [
                Inspection(
                    "data_range",
                    "suspect",
                    f"{result['network']} is given numbers up to {result['largest']:.3g} with a deviation of {result['std']:.3g}; "
                    "networks learn well from inputs of about 1",
                    "scale inputs to [-1, 1] or to mean 0 and deviation 1, in training and wherever the network is used",
                )
            ]
    return []


def ordered(seen: Observed) -> list[Inspection]:
    """Compare the means of batches with each other: of n samples drawn at random, they vary by 1/n of the variance of samples.

    The largest of such ratios over some features would be near 1 for shuffled data.
    """
    for network in seen.networks:
        if not network.trained or network.role in ("generator", "decoder", "discriminator"):
            continue
        calls = [c for c in seen.in_use(network) if c.graph and c.source == "data" and c.arguments]
        if not calls or calls[0].arguments[0].values.ndim < 2 or seen.per_sample.get(network.name, 0) == 1:
            continue
        if any(c.arguments[0].requires_grad for c in calls):
            continue  # not the data, but what another network makes of them
        if any(sum(c.turn == t for c in calls) > 4 for t in {c.turn for c in calls}):
            continue  # element by element
        batches: dict[int, Tensor] = {}
        for call in calls:
            x = call.arguments[0].values
            if len(x) >= 8 and x.shape[1:] == calls[0].arguments[0].values.shape[1:]:
                batches.setdefault(call.turn, _features(x))
        if len(batches) < 12 or len({len(b) for b in batches.values()}) != 1:
            continue
        rows = torch.stack(list(batches.values())).double()  # batches, samples, features
        n = rows.shape[1]
        within, between = rows.var(1).mean(0), rows.mean(1).var(0)
        used = within > 1e-9 * within.max().clamp_min(1e-30)
        ratio = (n * between / within.clamp_min(1e-30))[used]
        if len(ratio) and float(ratio.quantile(0.9)) > UNEVEN * max(1.0, n / 32):
            return [
                Inspection(
                    "data_not_shuffled",
                    "sick" if float(ratio.quantile(0.9)) > 2 * UNEVEN else "suspect",
                    f"the batches that {network.name} gets differ more than batches of shuffled data would: their means vary "
                    f"{float(ratio.quantile(0.9)):.0f} times as much",
                    "shuffle the training data: DataLoader(..., shuffle=True)",
                )
            ]
    return []


def _features(x: Tensor) -> Tensor:
    """Return a few numbers of each sample: how often it has each of the first symbols, or means of its parts."""
    if not x.is_floating_point() and x.ndim == 2:
        x = x.long().clamp(0, SYMBOLS - 1)
        return torch.zeros(len(x), SYMBOLS).scatter_add_(1, x.cpu(), torch.ones(x.shape))
    flat = x.float().flatten(1).cpu()
    parts = min(16, flat.shape[1])
    return torch.nn.functional.adaptive_avg_pool1d(flat[:, None], parts)[:, 0]


SYMBOLS = 64
UNEVEN = 6.0  # times

INSPECTIONS: tuple[Inspect, ...] = (noises, scrambled, ranges, repeated, ordered, carried, parts, labels, unscaled)

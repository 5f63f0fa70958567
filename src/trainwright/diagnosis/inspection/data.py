"""Inspections of data and inputs: range compared with the output's, repeated batches, state carried over."""

import torch
from torch import Tensor

from trainwright.diagnosis.inspection import Inspect, Inspection
from trainwright.diagnosis.observing.calls import Call
from trainwright.diagnosis.observing.networks import Network
from trainwright.diagnosis.observing.observer import Observed

BOUNDED = {"Tanh": (-1.0, 1.0), "Sigmoid": (0.0, 1.0), "Hardtanh": (-1.0, 1.0)}
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
        if last in ("View", "Reshape", "UnsafeView", "Squeeze", "Unsqueeze", "Permute", "Transpose"):
            break
        return None, ""
    layers = [m for m in network.module.modules() if not list(m.children())]
    name = type(layers[-1]).__name__ if layers else ""
    if name in ("Unflatten", "Flatten", "Identity") and len(layers) > 1:
        name = type(layers[-2]).__name__
    return (BOUNDED[name], f"a {name.lower()}") if name in BOUNDED and layers else (None, "")


def _data_beside(seen: Observed, network: Network) -> tuple[float, float] | None:
    """Return the range of real data that the network's output is compared with: by the watch, or in a discriminator."""
    if seen.real is not None and seen.samples is not None:
        own = [c for c in seen.calls if c.sampling and c.network is network and c.output is not None]
        if own and own[-1].output is not None and _same(own[-1].output, seen.samples):
            return float(seen.real.min()), float(seen.real.max())  # otherwise the user's sample() scales the output
    for d in seen.networks:
        if d.role != "discriminator":
            continue
        real = [c.arguments[0].values for c in seen.in_use(d) if c.source == "data" and c.arguments]
        made = [c for c in seen.in_use(d) if c.source in ("generated", "attached")]
        if real and made and made[0].arguments[0].shape[1:] == real[0].shape[1:]:
            return min(float(r.min()) for r in real), max(float(r.max()) for r in real)
    return None


def _same(output: Tensor, samples: Tensor) -> bool:
    rows = min(len(output), len(samples))
    a, b = output[:rows].flatten().float().cpu(), samples[:rows].flatten().float().cpu()
    return len(a) == len(b) and bool((a - b).abs().max() < 1e-5)


def repeated(seen: Observed) -> list[Inspection]:
    """Find inputs that are the same in every step."""
    found = []
    for network in seen.networks:
        if not network.trained:
            continue
        calls = [
            c
            for c in seen.in_use(network)
            if c.arguments and c.source in ("data", "attached", "generated") and c.arguments[0].floating
        ]
        ticks = {c.tick for c in calls}
        if len(ticks) < REPEATED or network.role == "discriminator":
            continue
        sums = {round(c.arguments[0].checksum, 4) for c in calls}
        if len(sums) != 1:
            continue
        rows = calls[0].arguments[0].shape[0] if calls[0].arguments[0].shape else 0
        if seen.real is not None and rows >= len(seen.real):
            continue  # every step sees all data
        noise = network.role == "generator"
        found.append(
            Inspection(
                "noise_drawn_once" if noise else "same_batch_every_step",
                "sick" if seen.real is not None else "suspect",
                f"{network.name} gets the same {'noise' if noise else 'batch'} in every step",
                "draw new noise in each step"
                if noise
                else "take the next batch in each step; make the iterator once, before the loop",
            )
        )
    return found


def carried(seen: Observed) -> list[Inspection]:
    """Find a hidden state that goes from one batch into the next."""
    for network in seen.networks:
        calls = seen.in_use(network)
        over: list[Call] = [c for c in calls if c.carried]
        if len(over) >= 3 and len(over) > 0.5 * len({c.tick for c in calls}):
            return [
                Inspection(
                    "hidden_state_carried",
                    "suspect",
                    f"the state of {network.name} after one batch is its initial state for the next",
                    "start each batch from a zero state, unless each batch continues the sequences of the one before",
                )
            ]
    return []


def noises(seen: Observed) -> list[Inspection]:
    """Compare the noise that a generator is trained with and the noise that it is sampled with."""
    for network in seen.networks:
        if not network.trained or seen.per_sample.get(network.name) != 1 or network.role not in ("generator", "model"):
            continue
        trained = _noise([c for c in seen.in_use(network) if c.source == "data"])
        sampled = _noise([c for c in seen.calls if c.network is network and c.sampling])
        if trained is None or sampled is None or trained.shape[1:] != sampled.shape[1:]:
            continue
        if trained.flatten(1).shape[1] > 1024 or trained.shape[0] < 32 or sampled.shape[0] < 32:
            continue
        a, b = (float(x.std()) for x in (trained, sampled))
        shift = abs(float(trained.mean()) - float(sampled.mean())) / max(a, b, 1e-12)
        reach = [float(x.abs().max()) / max(float(x.std()), 1e-12) for x in (trained, sampled)]
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


def targets(seen: Observed) -> list[Inspection]:
    """Compare a sequence model's targets with its inputs.

    The gradient of a cross-entropy at the logits is softmax - target, so it is negative at the target only.
    """
    for network in seen.networks:
        if seen.per_sample.get(network.name, 0) < 2:
            continue
        found: list[list[float]] = []
        for call in seen.in_use(network):
            tokens, read = (call.arguments[0].values if call.arguments else None), _tokens(call)
            if read is None or tokens is None or tokens.is_floating_point() or tokens.ndim != 2:
                continue
            aim, counted = read
            rows, length = min(len(tokens), len(aim)), tokens.shape[1]
            if aim.shape[1] != length or length < 6:
                continue
            inputs, aim, counted = tokens[:rows].long(), aim[:rows, : length - 2], counted[:rows, : length - 2]
            shifted = [inputs[:, k : length - 2 + k] for k in range(3)]
            telling = counted & (shifted[0] != shifted[1]) & (shifted[1] != shifted[2]) & (shifted[0] != shifted[2])
            if int(telling.sum()) >= 8:
                found.append([float((aim == x)[telling].float().mean()) for x in shifted])
        if len(found) < LEAST:
            continue
        same, following, later = (sorted(e[k] for e in found)[len(found) // 2] for k in range(3))
        sees = any(r and r["network"] == network.name and r["own"] > 1e-3 for r in seen.more.get("future") or ())
        if same > later and not sees:
            continue  # the network may shift its input itself, so that no output sees its own place
        if following < 0.5 and max(same, later) > 0.9:
            what = "the inputs themselves" if same > later else "two places after the input"
            return [
                Inspection(
                    "targets_in_input" if same > later else "targets_misaligned",
                    "sick",
                    f"{max(same, later):.0%} of the targets of {network.name} are {what}, but sample() asks for the next element",
                    "shift by one: logits[:, :-1] against tokens[:, 1:]; check that the loss does not shift again",
                )
            ]
    return []


def padding(seen: Observed) -> list[Inspection]:
    """Find a cross-entropy of sequences most of whose targets are one symbol at their end."""
    for network in seen.networks:
        shares, symbols = [], []
        for call in seen.in_use(network):
            read = _tokens(call)
            if read is None:
                continue
            aim, counted = read
            if aim.shape[1] < 4 or not bool(counted[:, -1].any()):
                continue
            last = int(torch.mode(aim[:, -1]).values)
            tail = (aim == last).flip(1).cumprod(1).bool() & counted.flip(1)  # only at the end, not blanks in between
            shares.append(float(tail.sum()) / float(counted.sum()))
            symbols.append(last)
        if len(shares) >= LEAST and sorted(shares)[len(shares) // 2] > PADDED and len(set(symbols)) == 1:
            share = sorted(shares)[len(shares) // 2]
            return [
                Inspection(
                    "padding_in_loss",
                    "suspect",
                    f"{share:.0%} of the targets of {network.name} are {symbols[0]} at the end of a row: "
                    "if that is padding, the loss is mostly about it",
                    f"leave padding out of the loss: ignore_index={symbols[0]}, or a mask",
                )
            ]
    return []


def _tokens(call: Call) -> tuple[Tensor, Tensor] | None:
    """Return targets (n, T) and which of them count, read off the gradient of a cross-entropy at logits (n, T, V) or (n, V, T)."""
    gradient, output = call.gradient, call.output
    if gradient is None or output is None or gradient.ndim != 3 or gradient.shape[1:] != output.shape[1:]:
        return None
    for axis in (2, 1):
        values = gradient.float().movedim(axis, 2)
        counted = values.abs().sum(2) > 0
        negative = (values < 0).sum(2)[counted]
        total = values.sum(2)[counted].abs() / values.abs().sum(2)[counted].clamp_min(1e-30)
        if counted.any() and float((negative == 1).float().mean()) > 0.95 and float(total.max()) < 1e-2:
            return values.argmin(2), counted
    return None


PADDED = 0.5  # share of targets


def cut(seen: Observed) -> list[Inspection]:
    """Find outputs that an activation cuts off at 0 although the loss pulls them below."""
    for network in seen.networks:
        if network.role == "discriminator" or not network.trained:
            continue
        own = {id(p) for p in network.module.parameters()}
        if not any(g.head & {"Relu", "ClampMin"} for g in seen.graphs.values() if g.parameters & own):
            continue  # its output is a feature for another network, not compared with a target
        shares = []
        for call in seen.in_use(network):
            if call.last in ("Relu", "ClampMin") and call.gradient is not None and call.output is not None:
                rows = min(len(call.gradient), len(call.output))
                if call.gradient.shape[1:] == call.output.shape[1:]:
                    pulled = (call.output[:rows] == 0) & (call.gradient[:rows] > 0)
                    shares.append(float(pulled.float().mean()))
        if len(shares) >= LEAST and sorted(shares)[len(shares) // 2] > 0.1:
            return [
                Inspection(
                    "output_activation",
                    "sick",
                    f"{network.name} ends in a relu, and the loss pulls {sorted(shares)[len(shares) // 2]:.0%} of its outputs below 0, "
                    "where they cannot go and get no gradient",
                    f"remove the relu at the end of {network.name}",
                )
            ]
    return []


def beginnings(seen: Observed) -> list[Inspection]:
    """Compare what a sampler begins with and what the network was trained with at the same time."""
    for network in seen.networks:
        if seen.per_sample.get(network.name, 0) < 5:
            continue
        drawn = [c for c in seen.calls if c.network is network and c.sampling and _timed(c)]
        trained = [c for c in seen.in_use(network) if _timed(c)]
        if not drawn or len(trained) < LEAST:
            continue
        first = drawn[0]
        time = float(first.arguments[1].values.float().median())
        times = torch.cat([_per_row(c) for c in trained])
        rows = torch.cat([c.arguments[0].values[: len(_per_row(c))].float() for c in trained])
        if rows.shape[1:] != first.arguments[0].values.shape[1:]:
            continue
        low, high = float(times.min()), float(times.max())
        width = max(high - low, 1e-9)
        if not low - 0.1 * width <= time <= high + 0.1 * width:
            return [
                Inspection(
                    "sampler_step_mismatch",
                    "sick",
                    f"sample() begins at time {time:.4g}, but {network.name} is trained at times between {low:.4g} and {high:.4g}",
                    "give the network times of the same scale in training and in sample()",
                )
            ]
        near = rows[(times - time).abs() <= 0.08 * width].cpu()
        begin = first.arguments[0].values.float().cpu()
        if len(near) < 8 or near[0].numel() < 8 or begin[0].numel() * len(begin) < 256:
            continue
        if near.ndim == 4 and _neighbours(near) > _neighbours(begin) + 0.4:
            return [
                Inspection(
                    "sampler_step_mismatch",
                    "sick",
                    f"sample() begins with noise at time {time:.4g}, where {network.name} is trained on nearly clean data: "
                    "time runs the wrong way in one of them",
                    "use the same direction of time in training and in sample()",
                )
            ]
        a, b = float(near.std()), float(begin.std())
        shift = abs(float(near.mean()) - float(begin.mean())) / max(a, b, 1e-9)
        if max(a, b) > 1.3 * min(a, b) or shift > 0.3:
            return [
                Inspection(
                    "noise_distribution_mismatch",
                    "sick",
                    f"sample() begins with noise of mean {float(begin.mean()):.2f} and deviation {b:.2f}; at that time "
                    f"{network.name} is trained on inputs of mean {float(near.mean()):.2f} and deviation {a:.2f}",
                    "begin with the noise that training ends with",
                )
            ]
    return []


def _timed(call: Call) -> bool:
    """True for a call with floating data and one time for each row, or one for all."""
    if len(call.arguments) < 2 or not call.arguments[0].floating or call.arguments[0].values.ndim < 2:
        return False
    values = call.arguments[1].values
    return (
        values.numel() in (1, call.arguments[1].shape[0] if values.ndim else 1, len(values) if values.ndim else 1)
        and values.ndim <= 2
    )


def _per_row(call: Call) -> Tensor:
    values = call.arguments[1].values.float().flatten()
    rows = len(call.arguments[0].values)
    return values.expand(rows) if len(values) == 1 else values[:rows]


def scrambled(seen: Observed) -> list[Inspection]:
    """Compare the images that a network gets with ``real``: equal values whose neighbours do not belong together."""
    if seen.real is None or seen.real.ndim != 4:
        return []
    for network in seen.networks:
        if not network.trained or seen.per_sample.get(network.name, 0) > 1:
            continue  # the inputs of a denoiser are noisy
        inputs = [c.arguments[0].values for c in seen.in_use(network) if c.source == "data" and c.arguments]
        inputs = [x for x in inputs if x.is_floating_point() and x.shape[1:] == seen.real.shape[1:]]
        if not inputs:
            continue
        given = torch.cat(inputs).float().cpu()
        alike = abs(float(given.std() / seen.real.std().clamp_min(1e-9)) - 1) < 0.25
        smooth = [_neighbours(x) for x in (given, seen.real.float())]
        if alike and smooth[0] < smooth[1] - 0.3:
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


def _neighbours(images: Tensor) -> float:
    """Return the correlation of neighbouring pixels, the smaller one of both directions."""
    pairs = (images[..., 1:], images[..., :-1]), (images[..., 1:, :], images[..., :-1, :])
    return min(float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]) for a, b in pairs)


LEAST = 3  # calls

INSPECTIONS: tuple[Inspect, ...] = (noises, beginnings, targets, padding, cut, scrambled, ranges, repeated, carried)

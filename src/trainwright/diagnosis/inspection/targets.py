"""Inspections of outputs and targets, which are read off the gradient of a loss at the output."""

import torch
from torch import Tensor

from trainwright.diagnosis.inspection import Inspect, Inspection
from trainwright.diagnosis.observing.calls import (
    Call,
    error_factor,
    read_classes,
    read_targets,
    read_tokens,
)
from trainwright.diagnosis.observing.observer import Observed
from trainwright.diagnosis.observing.sampler import neighbours

LEAST = 3  # calls
PADDED = 0.5  # share of targets


def targets(seen: Observed) -> list[Inspection]:
    """Compare a sequence model's targets with its inputs.

    The gradient of a cross-entropy at the logits is softmax - target, so it is negative at the target only.
    """
    for network in seen.networks:
        if seen.per_sample.get(network.name, 0) < 2 or seen.fills_in(network):
            continue
        found: list[list[float]] = []
        for call in seen.in_use(network):
            read = read_tokens(call)
            given = call.arguments[:1] if call.labelled else call.arguments  # the others may be the targets
            inputs = [a.values for a in given if not a.floating and a.values.ndim == 2]
            shares = [m for tokens in inputs if read is not None and (m := _matches(tokens, *read)) is not None]
            if shares:
                found.append(max(shares, key=lambda m: max(m[:3])))
        if len(found) < LEAST:
            continue
        same, following, later = (sorted(e[k] for e in found)[len(found) // 2] for k in range(3))
        sees = any(r and r["network"] == network.name and r["own"] > 1e-3 for r in seen.more.get("future") or ())
        if max(same, following, later) < 0.25 and min(e[3] for e in found) >= 30 and len(found) >= LEAST:
            return [
                Inspection(
                    "targets_misaligned",
                    "sick",
                    f"the targets of {network.name} are no elements of its inputs: {following:.0%} are the next one",
                    "take inputs and targets from the same rows: tokens[:, :-1] and tokens[:, 1:], shuffled together",
                )
            ]
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


def _matches(tokens: Tensor, aim: Tensor, counted: Tensor) -> list[float] | None:
    """Return the shares of targets that are the input at their place, the next one, and the one after, and the number of targets.

    None for other lengths.
    """
    rows, length = min(len(tokens), len(aim)), tokens.shape[1]
    if aim.shape[1] != length or length < 6:
        return None
    inputs, aim, counted = tokens[:rows].long(), aim[:rows, : length - 2], counted[:rows, : length - 2]
    shifted = [inputs[:, k : length - 2 + k] for k in range(3)]
    telling = counted & (shifted[0] != shifted[1]) & (shifted[1] != shifted[2]) & (shifted[0] != shifted[2])
    if int(telling.sum()) < 8:
        return None
    return [*(float((aim == x)[telling].float().mean()) for x in shifted), float(telling.sum())]


def padding(seen: Observed) -> list[Inspection]:
    """Find a cross-entropy of sequences most of whose targets are one symbol at their end."""
    for network in seen.networks:
        shares, symbols = [], []
        for call in seen.in_use(network):
            read = read_tokens(call)
            if read is None:
                continue
            aim, counted = read
            if aim.shape[1] < 4 or not bool(counted[:, -1].any()) or float(counted.float().mean()) < 0.25:
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


def masks(seen: Observed) -> list[Inspection]:
    """Find that fewer and fewer targets of a sequence model count in its loss."""
    for network in seen.networks:
        read = [r for c in sorted(seen.in_use(network), key=lambda c: c.tick) if (r := read_tokens(c)) is not None]
        left = [share for c in seen.in_use(network) if (share := _skipped(c)) is not None]
        if len(left) >= LEAST and sorted(left)[len(left) // 4] > 0.2:
            return [
                Inspection(
                    "loss_mask_wrong",
                    "suspect",
                    f"{sorted(left)[len(left) // 2]:.0%} of the targets of {network.name} that are no padding do not count in its "
                    "loss, though earlier ones of the same rows do",
                    "make the mask from the padding of its own row; what is written into a cached mask stays there, so clone it first",
                )
            ]
        shares = [float(counted.float().mean()) for _, counted in read]
        if len(shares) < 8:
            continue
        begin, now = (sorted(part)[len(part) // 2] for part in (shares[:4], shares[-3:]))
        if now < 0.8 * begin and max(shares[-3:]) < 0.9 * min(shares[:4]):
            return [
                Inspection(
                    "loss_mask_wrong",
                    "sick",
                    f"{begin:.0%} of the targets of {network.name} counted in the loss at the beginning, and {now:.0%} do now",
                    "make the mask anew for each batch: what is written into a cached one stays there, so clone it first",
                )
            ]
    return []


def _skipped(call: Call) -> float | None:
    """Return the share of places after the first counted one that do not count although the input has no padding there."""
    read, tokens = read_tokens(call), call.arguments[0].values if call.arguments else None
    if read is None or tokens is None or tokens.is_floating_point() or tokens.ndim != 2:
        return None
    _, counted = read
    if tokens.shape[1] != counted.shape[1] or len(tokens) < len(counted):
        return None
    tokens = tokens[: len(counted)]
    content = (tokens != torch.mode(tokens[:, -1]).values) & (counted.cumsum(1) > 0)
    return float((content & ~counted).sum()) / max(1, int(content.sum()))


def shuffled(seen: Observed) -> list[Inspection]:
    """Find batches whose samples all have one label although the data have several."""
    for network in seen.networks:
        if network.role == "discriminator":
            continue
        batches = [c for call in seen.in_use(network) if (c := read_classes(call)) is not None and len(c) >= 8]
        if len(batches) < 2 * LEAST:
            continue
        pure = sorted(float((b == b.mode().values).float().mean()) for b in batches)[len(batches) // 4]
        every = torch.cat(batches)
        commonest = float((every == every.mode().values).float().mean())
        if pure > 0.95 and commonest < 0.85:
            return [
                Inspection(
                    "data_not_shuffled",
                    "sick",
                    f"{pure:.0%} of the labels in a batch of {network.name} are the same, but only {commonest:.0%} in all batches",
                    "shuffle the training data: DataLoader(..., shuffle=True); they are sorted by class",
                )
            ]
    return []


def own_inputs(seen: Observed) -> list[Inspection]:
    """Find a squared error whose target is the network's own noisy input."""
    for network in seen.networks:
        if network.role == "discriminator" or not network.trained:
            continue
        same, noisy = [], False
        factor = error_factor(seen.in_use(network), seen.scalars) or 1.0
        for call in seen.in_use(network):
            x, target = (call.arguments[0].values if call.arguments else None), read_targets(call, factor)
            if x is None or target is None or x.shape != target.shape or x.ndim < 2:
                continue
            same.append(float((target - x.float()).abs().mean() / x.float().std().clamp_min(1e-12)))
            if x.ndim == 4 and seen.real is not None and x.shape[1:] == seen.real.shape[1:]:
                noisy |= neighbours(x.float()) < neighbours(seen.real.float()) - 0.1
        if len(same) >= LEAST and max(same) < 1e-2 and noisy:
            return [
                Inspection(
                    "targets_in_input",
                    "sick",
                    f"the targets of {network.name} are its own noisy inputs, so it learns to copy them",
                    "compare the output with the clean data (or with the noise), not with what the network is given",
                )
            ]
    return []


def handed(seen: Observed) -> list[Inspection]:
    """Report an argument that is the target of the loss, and whose elements their outputs see (see ``test_handed_targets``)."""
    for result in seen.more.get("handed") or ():
        if result and result["own"] > 1e-3 and not any(g.latent for g in seen.graphs.values()):
            return [
                Inspection(
                    "targets_in_input",
                    "sick",
                    f"argument {result['place'] + 1} of {result['network']} is the target of its loss, and the output for each element "
                    "sees that element itself",
                    "give the decoder the element before: targets[:, :-1] after the last known one",
                )
            ]
    return []


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


def bounded(seen: Observed) -> list[Inspection]:
    """Find targets of a squared error that a bounded output cannot reach."""
    limits = {"Tanh": (-1.0, 1.0), "Sigmoid": (0.0, 1.0)}
    for network in seen.networks:
        if network.role == "discriminator" or not network.trained:
            continue
        shares = []
        for call, aim in seen.targets_of(network):
            if call.last in limits:
                low, high = limits[call.last]
                shares.append(float(((aim < low - 0.1) | (aim > high + 0.1)).float().mean()))
        if len(shares) >= LEAST and sorted(shares)[len(shares) // 2] > 0.1:
            last = next(c.last for c in seen.in_use(network) if c.last in limits)
            return [
                Inspection(
                    "output_activation",
                    "sick",
                    f"{network.name} ends in a {last.lower()}, between {limits[last][0]:g} and {limits[last][1]:g}, but "
                    f"{sorted(shares)[len(shares) // 2]:.0%} of its targets lie outside",
                    f"remove the {last.lower()} at the end of {network.name}, or scale the targets into its range",
                )
            ]
    return []


def alike(seen: Observed) -> list[Inspection]:
    """Find targets of a squared error that are the same in every step although the inputs are not."""
    for network in seen.networks:
        if network.role == "discriminator" or not network.trained:
            continue
        read = [(c, t) for c, t in seen.targets_of(network) if c.arguments and t.ndim > 1]
        read = [(c, t) for c, t in read if t.shape == read[0][1].shape and float(t.std()) > 1e-6]
        if len({c.tick for c, _ in read}) < SAME or len({round(c.arguments[0].checksum, 4) for c, _ in read}) < SAME:
            continue
        size = float(read[0][1].std())
        if max(float((t - read[0][1]).abs().mean()) for _, t in read) > 0.02 * size:
            continue
        timed = seen.per_sample.get(network.name, 0) > 4
        if not timed and read[0][0].arguments[0].shape[1:] == read[0][1].shape[1:]:
            continue  # clean data as targets of noisy ones
        return [
            Inspection(
                "noise_drawn_once" if timed else "labels_mismatched",
                "sick" if timed else "suspect",  # every step may see all data, with new noise or another augmentation
                f"the targets of {network.name} are the same in every step although its inputs differ",
                "draw new noise in each step: torch.randn_like(x)"
                if timed
                else "take the targets of the same rows as the inputs, in each step",
            )
        ]
    return []


def in_window(seen: Observed) -> list[Inspection]:
    """Find targets of a forecast (n, k) that are one element of their own window (n, T, F) or (n, T)."""
    for network in seen.networks:
        if network.role == "discriminator" or not network.trained or seen.per_sample.get(network.name):
            continue
        places: list[set[int]] = []
        for call, target in seen.targets_of(network):
            x = call.arguments[0].values if call.arguments else None
            if x is None or not x.is_floating_point() or x.ndim not in (2, 3) or x.shape[1] < 3:
                continue
            target, rows = target.flatten(1) if target.ndim > 1 else target[:, None], min(len(target), len(x))
            x = x[:rows].float().reshape(rows, x.shape[1], -1)
            target = target[:rows]
            if rows < 8 or target.shape[1] > x.shape[2] or float(target.std()) < 1e-6:
                continue
            off = (x[:, :, : target.shape[1]] - target[:, None]).abs().mean((0, 2)) / target.std()
            places.append({int(i) for i in (off < 1e-3).nonzero().flatten()})
        if len(places) >= LEAST and (same := set.intersection(*places)):
            return [
                Inspection(
                    "targets_in_input",
                    "sick",
                    f"the target of {network.name} is element {min(same) + 1} of its own input window, so there is nothing to predict",
                    "let the window end before the target: x[t - n : t] for the target x[t]",
                )
            ]
    return []


def _some(x: Tensor) -> Tensor:
    """Return about 10,000 of the numbers."""
    return x.flatten()[:: max(1, x.numel() // 10_000)]


def scales(seen: Observed) -> list[Inspection]:
    """Find targets of a squared error far larger than what a network puts out at first."""
    for network in seen.networks:
        if network.role == "discriminator" or not network.trained:
            continue
        far = []
        for call, target in seen.targets_of(network):
            if call.tick < 12 and call.output is not None:
                far.append(tuple(float(_some(x).abs().median()) for x in (target, call.output)))
        if len(far) >= LEAST and min(t / max(o, 1.0) for t, o in far) > 20:
            aim = sorted(t for t, _ in far)[len(far) // 2]
            return [
                Inspection(
                    "data_range",
                    "sick" if aim > 500 else "suspect",  # a few steps of Adam reach what is nearer
                    f"the targets of {network.name} are about {aim:.3g}, and its outputs begin near 0",
                    "scale the targets to mean 0 and deviation 1 for the loss, and scale predictions back",
                )
            ]
    return []


def stepwise(seen: Observed) -> list[Inspection]:
    """Compare the targets of a network that gets one element (n,) or (n, 1) in each call with the elements before and after."""
    for network in seen.networks:
        if seen.per_sample.get(network.name, 0) < 2 or not network.trained:
            continue
        calls = [c for c in seen.in_use(network) if c.graph and c.arguments and not c.arguments[0].floating]
        shares: list[list[float]] = []
        for turn in {c.turn for c in calls}:
            row = [c for c in calls if c.turn == turn and c.arguments[0].values.numel() == len(c.arguments[0].values)]
            given = [c.arguments[0].values.flatten().long() for c in row]
            for i in range(1, len(row) - 1):
                aim = read_classes(row[i])
                if aim is None or not len(aim) == len(given[i - 1]) == len(given[i]) == len(given[i + 1]):
                    continue
                telling = (given[i - 1] != given[i]) & (given[i] != given[i + 1]) & (given[i - 1] != given[i + 1])
                if int(telling.sum()) >= 4:
                    shares.append([float((aim == given[i + k])[telling].float().mean()) for k in (-1, 0, 1)])
        if len(shares) < 2 * LEAST:
            continue
        before, same, following = (sorted(s[k] for s in shares)[len(shares) // 2] for k in range(3))
        if max(before, same) > 0.9 and following < 0.5:
            return [
                Inspection(
                    "targets_in_input",
                    "sick",
                    f"the targets of {network.name} are {'the elements that it is given' if same > before else 'the ones before'}, "
                    "but sample() asks for the next one",
                    "compare the output of each place with the element after it: outputs[:, :-1] against tokens[:, 1:]",
                )
            ]
    return []


def probabilities(seen: Observed) -> list[Inspection]:
    """Find a divergence from targets that do not sum to 1, read off its gradient at log-probabilities (n, K)."""
    for network in seen.networks:
        if network.role == "discriminator" or not network.trained:
            continue
        uneven = []
        for call in seen.in_use(network):
            g, out = call.gradient, call.output
            if g is None or out is None or out.ndim != 2 or g.shape != out.shape or len(out) < 8:
                continue
            if (
                float(out.float().logsumexp(1).abs().max()) > 1e-3
                or bool((g > 0).any())
                or float((g < 0).float().mean()) < 0.9
            ):
                continue
            sums = -g.float().sum(1)
            uneven.append(float(sums.std() / sums.mean().clamp_min(1e-20)))
        if len(uneven) >= LEAST and min(uneven) > 5e-3:
            return [
                Inspection(
                    "loss_expects_probabilities",
                    "sick",
                    f"the targets of the divergence at {network.name} do not sum to the same for all rows: they are no probabilities",
                    "give kl_div() log-probabilities and, as target, probabilities; with log_target=True it expects their logarithms",
                )
            ]
    return []


SAME = 6  # steps


def constant(seen: Observed) -> list[Inspection]:
    """Find outputs that are one number whatever the input, by the construction of the last layers."""
    for network in seen.networks:
        calls = [c for c in seen.in_use(network) if c.graph and c.arguments and c.output is not None]
        calls = [c for c in calls if c.arguments[0].varies and c.output is not None and c.output.numel() >= 4]
        calls = [c for c in calls if c.output is not None and c.output.numel() <= 4096][-8:]
        if not network.trained or len(calls) < 2 * LEAST:
            continue
        values = {
            float(x) for c in calls if c.output is not None for x in (c.output.float().min(), c.output.float().max())
        }
        if len(values) != 1 or {c.last for c in calls} != {"Softmax"}:
            continue
        return [
            Inspection(
                "output_activation",
                "sick",
                f"every output of {network.name} is {values.pop():g}: it ends in a softmax over a single number",
                f"end {network.name} in a sigmoid, or in no activation and use a loss of logits",
            )
        ]
    return []


INSPECTIONS: tuple[Inspect, ...] = (
    constant,
    bounded,
    alike,
    in_window,
    scales,
    targets,
    stepwise,
    probabilities,
    padding,
    masks,
    shuffled,
    own_inputs,
    handed,
    cut,
)

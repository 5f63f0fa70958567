"""Inspections of outputs and targets, which are read off the gradient of a loss at the output."""

import torch
from torch import Tensor

from trainwright.diagnosis.inspection import Inspect, Inspection
from trainwright.diagnosis.observing.calls import Call
from trainwright.diagnosis.observing.observer import Observed

LEAST = 3  # calls
PADDED = 0.5  # share of targets


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


INSPECTIONS: tuple[Inspect, ...] = (targets, padding, cut)

"""Errors of a loop, read off the gradients at the outputs of its networks: beside a constant prediction, summed or averaged.

The gradient of a mean squared error at the output is 2 (output - target) / numbers, that of a cross-entropy softmax - target, so both
give the targets.
"""

from collections.abc import Mapping, Sequence

import torch

from trainwright.diagnosis.observing.calls import Call, error_factor, handed, read_bits, read_classes, read_tokens

MANY = 12  # numbers of a sample from which sum and mean over them can be told apart
FIRST = 8  # steps of optimizers in which errors are still those of an untrained network
Scalars = Mapping[int, Sequence[float]]  # losses that were handed over, by turn


def baseline(calls: Sequence[Call], scalars: Scalars) -> tuple[float, str] | None:
    """Return the error of a network over that of the best constant prediction, from its newest calls, and the name of the latter.

    It is only trusted where the error that follows from the gradient is one of the losses that were handed over in the same turn.
    """
    found = []
    asked = 0
    factors: dict[int, float | None] = {}
    for call in calls[::-1]:
        if call.sampling or call.network.role in ("discriminator", "generator"):
            continue
        asked += call.gradient is not None and bool(scalars.get(call.turn))
        if id(call.network) not in factors:
            own = [c for c in calls if c.network is call.network and not c.sampling]
            factors[id(call.network)] = error_factor(own, scalars)
        ratio = _squared(call, factors[id(call.network)]) if call.turn in scalars else None
        if ratio is not None:
            found.append((ratio, "the mean of its targets (of a change, that is a copy of the input)"))
            continue
        ratio = _entropy(call, calls, scalars)
        ratio = _binary(call, calls, scalars) if ratio is None else ratio
        if ratio is not None:
            found.append((ratio, "a guess by the frequencies of the classes"))
    return min(found[:2]) if len(found) > max(1, 0.2 * asked) else None  # and not by chance


def _squared(call: Call, factor: float | None) -> float | None:
    g, out = call.gradient, call.output
    if (
        factor is None
        or g is None
        or out is None
        or g.ndim < 2
        or g.shape != out.shape
        or call.gradient_numel != g.numel()
    ):
        return None
    if len(g) < (4 if g[0].numel() > 1 else 16):
        return None
    residual = g.float() * (call.gradient_numel / (2 * factor))
    error = float(residual.square().mean())
    target, rows = out.float() - residual, len(out)
    spread = float((target - target.mean(0)).square().mean()) * rows / (rows - 1)
    return error / max(min(spread, float(target.square().mean())), 1e-12)


def _entropy(call: Call, calls: Sequence[Call], scalars: Scalars) -> float | None:
    classes, out = read_classes(call), call.output
    if classes is None or out is None or len(classes) != len(out):
        return None
    error = float(torch.nn.functional.cross_entropy(out.float(), classes))
    if not handed(call, error, scalars):
        return None
    known = [c for other in calls if other.network is call.network and (c := read_classes(other)) is not None]
    counts = torch.cat(known).bincount(minlength=out.shape[1]).float()
    if counts.sum() < 10 * len(counts):
        return None  # too few labels for their frequencies
    share = (counts / counts.sum()).clamp_min(1e-12)
    return error / max(float(-(share * share.log()).sum()), 1e-12)


def _binary(call: Call, calls: Sequence[Call], scalars: Scalars) -> float | None:
    targets = read_bits(call)
    if targets is None or call.output is None:
        return None
    error = float(torch.nn.functional.binary_cross_entropy_with_logits(call.output.float(), targets))
    if not handed(call, error, scalars):
        return None
    known = [b for other in calls if other.network is call.network and (b := read_bits(other)) is not None]
    known = [b for b in known if b.shape[1:] == targets.shape[1:]]
    if sum(map(len, known)) < 100:
        return None
    share = torch.cat(known).mean(0).clamp(1e-6, 1 - 1e-6)
    entropy = -(share * share.log() + (1 - share) * (1 - share).log())
    return error / max(float(entropy.mean()), 1e-12)


def reduction(calls: Sequence[Call], spread: float, elements: int) -> str:
    """Return ``mean`` if a reconstruction error is averaged over all elements, ``sum`` if over samples only, or nothing.

    Early in training the difference from a target is about as large as the deviation of the data.

    Args:
        calls: observed calls.
        spread: standard deviation of the data; 0 if unknown.
        elements: numbers in one sample.
    """
    weights, numbers = [], elements
    for call in calls:
        g = call.gradient
        if g is None or g.ndim < 2 or call.sampling or call.tick > FIRST:
            continue
        read = read_tokens(call)
        if read is not None:
            # the positive part of softmax - target adds up to what the target lacks, nearly 1 at first
            numbers = read[1].shape[1]
            positive = g.float().clamp_min(0).sum() / read[1].sum()
            weights.append(float(positive) * call.gradient_numel / g[0].numel())
        elif spread and g[0].numel() == elements:
            rows = call.gradient_numel / elements
            weights.append(float(g.float().square().mean().sqrt()) * rows / (2 * spread))
    if not weights or numbers < MANY:
        return ""
    weight = sorted(weights)[len(weights) // 2]
    return "mean" if weight < 5 / numbers else "sum" if weight > 0.2 else ""


def is_summed_kl(calls: Sequence[Call], scalars: Scalars, since: int) -> bool:
    """Return whether a loss is the KL of codes (mean, log-variance) of the same turn, summed over the whole batch."""
    for call in calls[::-1]:
        out = call.output
        if call.turn < since:
            return False
        rows = call.arguments[0].shape[0] if call.arguments and call.arguments[0].shape else 0
        if call.sampling or call.turn not in scalars or out is None or out.ndim != 2 or out.shape[1] % 2:
            continue
        if len(out) != rows or rows < 4:
            continue
        mean, log_variance = out.float().chunk(2, 1)
        kl = float(0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean())
        if any(abs(v - rows * kl) < 0.01 * rows * kl for v in scalars[call.turn]):
            return True
    return False

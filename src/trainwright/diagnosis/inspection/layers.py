"""Inspections of layers: their initial weights, types and modes, layers that stand in several places or do not bend anything."""

import torch
from torch import Tensor, nn

from trainwright.diagnosis.inspection import Inspect, Inspection
from trainwright.diagnosis.inspection.optimization import SEEN, called
from trainwright.diagnosis.observing.observer import Observed


def beginnings(seen: Observed) -> list[Inspection]:
    """Find initial weights so large that outputs are saturated, or all of which are 0."""
    for result in seen.more.get("initial") or ():
        ordered = sorted(result["sizes"])
        if ordered[-1] < 1e-8:
            what = f"all weights of {result['network']} are 0 at the beginning, so that all its units learn the same or nothing"
        elif ordered[len(ordered) // 2] > INITIAL:
            what = (
                f"the initial weights of {result['network']} have about {ordered[len(ordered) // 2]:.0f} times the deviation "
                "1 / sqrt(inputs of a unit), so that its outputs are huge or saturated"
            )
        else:
            continue
        return [
            Inspection(
                "initialization",
                "sick",
                what,
                "leave the initialisation of PyTorch as it is, or draw weights with a deviation of 0.02 (DCGAN) or by He's rule",
            )
        ]
    return []


INITIAL = 6.0  # He's initialisation has 1.4


def constants(seen: Observed) -> list[Inspection]:
    """Report constants such as a noise schedule that are not numbers from the beginning."""
    for name, missing, length in seen.more.get("invalid") or ():
        return [
            Inspection(
                "schedule_invalid",
                "sick",
                f"{name} is not a number at {missing} of its {length} places, before the first step",
                "look at how it is computed: betas above 1 make products of 1 - beta negative, and their roots do not exist",
            )
        ]
    return []


def duplicates(seen: Observed) -> list[Inspection]:
    """Find a container that holds one layer several times, as after ``[layer] * n``."""
    for network in seen.networks:
        for name, module in network.module.named_modules():
            if not network.trained or not isinstance(module, nn.Sequential | nn.ModuleList):
                continue
            layers = [m for m in module if any(True for _ in m.parameters())]
            if len({id(m) for m in layers}) < len(layers):
                place = f"{network.name}.{name}" if name else network.name
                return [
                    Inspection(
                        "layer_used_twice",
                        "suspect",
                        f"{place} holds the same layer several times, so {len(layers)} places share the weights of "
                        f"{len({id(m) for m in layers})}",
                        "build a new layer for each place, for example in a list comprehension; [layer] * n repeats one",
                    )
                ]
    return []


def linear(seen: Observed) -> list[Inspection]:
    """Find a network of several layers without any activation between them, and dropout of nearly everything."""
    for network in seen.networks:
        if not network.trained:
            continue
        drops = [m.p for m in network.module.modules() if isinstance(m, nn.modules.dropout._DropoutNd) and m.training]
        if drops and max(drops) >= 0.9:
            return [
                Inspection(
                    "dropout_too_high",
                    "suspect",
                    f"a dropout layer of {network.name} drops {max(drops):.0%} of what it gets",
                    "use 0.1 to 0.5: the argument is the share that is dropped, not the share that is kept",
                )
            ]
        weighted = [m for m in network.module.modules() if isinstance(m, nn.Linear | nn.modules.conv._ConvNd)]
        own = {id(p) for p in network.module.parameters()}
        graphs = [g for g in seen.graphs.values() if own <= g.parameters and g.passed]
        known = all(
            type(m).__module__.startswith("torch.nn") for m in network.module.modules() if not list(m.children())
        )
        if len(weighted) < 2 or not graphs or not known or any(g.operations & BENDING for g in graphs):
            continue
        return [
            Inspection(
                "no_activation",
                "suspect",
                f"{network.name} has {len(weighted)} layers with weights and no activation between them, so it is a linear function",
                "put an activation such as ReLU between the layers, and call it in forward()",
            )
        ]
    return []


BENDING = frozenset(
    {
        "Relu", "LeakyRelu", "LeakyReluWithNegativeSlope", "Elu", "Gelu", "Silu", "Sigmoid", "Tanh", "Softplus", "Mish", "PreluKernel",
        "Prelu", "Hardtanh", "Hardswish", "Hardsigmoid", "Softmax", "Celu", "LogSigmoid", "Threshold", "RreluWithNoise", "Clamp",
        "ClampMin", "ClampMax", "MaxPool2DWithIndices", "AdaptiveMaxPool2D", "Maximum", "Max", "Where", "Abs", "Sin", "Cos", "Exp",
        "CudnnRnn", "Lstm", "MkldnnRnnLayer", "Glu", "ScaledDotProductFlashAttentionForCpu", "ScaledDotProductEfficientAttention",
        "Pow", "Sqrt", "Rsqrt", "Sign", "MaxPool3DWithIndices", "Amax",
    }
)  # fmt: skip


def half(seen: Observed) -> list[Inspection]:
    """Find weights of 16 bits that an optimizer steps directly."""
    for record in seen.optimizers:
        types = {p.dtype for p in record.parameters if p.requires_grad}
        if torch.float16 in types:
            return [
                Inspection(
                    "precision",
                    "sick",
                    f"{called(record)} steps weights of float16: its epsilon and small updates round to 0",
                    "keep the weights in float32 and use torch.autocast with a GradScaler",
                )
            ]
        if torch.bfloat16 in types and record.updates and record.updates[-1] < 1e-3:
            return [
                Inspection(
                    "precision",
                    "suspect",
                    f"{called(record)} steps weights of bfloat16 by {record.updates[-1]:.1e} of their size, "
                    "and bfloat16 cannot show less than 4e-3",
                    "keep the weights in float32 and use torch.autocast",
                )
            ]
    return []


def modes(seen: Observed) -> list[Inspection]:
    """Find a network that is trained in evaluation mode although it has layers that are estimated in training mode only."""
    found = []
    for network in seen.networks:
        calls = [c for c in seen.in_use(network) if c.graph]
        later = [c for c in calls if c.turn > max(c.turn for c in calls) - 3]
        modal = seen.holds(nn.modules.batchnorm._BatchNorm, nn.Dropout, nn.Dropout2d, network=network)
        left = modal and calls and calls[0].training and calls[-1].turn > 24 and not any(c.training for c in later)
        if network.trained and left and len(later) >= 2:
            found.append(
                Inspection(
                    "trained_in_eval_mode",
                    "sick",
                    f"{network.name} was trained in training mode at first, and is trained in evaluation mode now",
                    f"call {network.name}.train() after each evaluation",
                )
            )
            continue
        if not network.trained or len(calls) < SEEN or any(c.training for c in calls):
            continue
        spectral = [m for m in network.module.modules() if _spectral(m)]
        if spectral and not any(m.training for m in spectral):
            found.append(
                Inspection(
                    "spectral_norm_in_eval",
                    "sick",
                    f"{network.name} is trained in evaluation mode, in which the estimate of its spectral norms stands still",
                    f"call {network.name}.train() before the loop, and again after each evaluation",
                )
            )
            continue
        untouched = [
            m
            for m in network.module.modules()
            if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats and _fresh(m)
        ]
        if untouched and not any(m.training for m in untouched):
            found.append(
                Inspection(
                    "trained_in_eval_mode",
                    "sick",
                    f"{network.name} is trained in evaluation mode, and its BatchNorm statistics were never estimated",
                    f"call {network.name}.train() before the loop, and again after each evaluation",
                )
            )
    return found


def both_modes(seen: Observed) -> list[Inspection]:
    """Find a network with BatchNorm that is called in training mode for one loss and in evaluation mode for another."""
    for network in seen.networks:
        graphs = [c for c in seen.in_use(network) if c.graph and c.turn > 1 and c.normalizes is not None]
        if not network.trained:
            continue
        turns = {c.turn for c in graphs}
        mixed = [t for t in turns if len({c.normalizes for c in graphs if c.turn == t}) == 2]
        if len(mixed) >= SEEN and len(mixed) > 0.5 * len(turns):
            return [
                Inspection(
                    "batch_norm_modes_differ",
                    "suspect",
                    f"in each step the BatchNorm layers of {network.name} are once in training and once in evaluation mode, so they "
                    "normalise by other statistics for one loss than for the other",
                    f"call {network.name}, and all its layers, in the same mode for both losses",
                )
            ]
    return []


def _spectral(module: nn.Module) -> bool:
    inner = (
        [p for ps in getattr(module, "parametrizations", {}).values() for p in ps]
        if hasattr(module, "parametrizations")
        else []
    )
    return any("spectralnorm" in type(h).__name__.lower() for h in [*module._forward_pre_hooks.values(), *inner])


def _fresh(module: nn.Module) -> bool:
    mean, variance = module.running_mean, module.running_var
    return (
        isinstance(mean, Tensor)
        and isinstance(variance, Tensor)
        and not bool(mean.any())
        and bool((variance == 1).all())
    )


INSPECTIONS: tuple[Inspect, ...] = (half, constants, beginnings, modes, both_modes, duplicates, linear)

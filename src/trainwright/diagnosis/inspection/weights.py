"""Inspections of weights: all held by an optimizer, reached by a gradient, kept between steps, in a mode and a type that can learn."""

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from trainwright.diagnosis.inspection import Inspect, Inspection, listed
from trainwright.diagnosis.inspection.optimization import SEEN, WAIT, called, held
from trainwright.diagnosis.observing.calls import Argument, Call
from trainwright.diagnosis.observing.networks import Network
from trainwright.diagnosis.observing.observer import Observed


def sizes(seen: Observed) -> list[Inspection]:
    """Find updates that are large against the weights, step after step."""
    for record in seen.optimizers:
        newest = record.updates[-3:]
        rising = not math.isnan(record.base) and record.rate >= 0.99 * record.highest
        if rising and seen.total and seen.step > 0.25 * seen.total and record.rate < 0.1 * record.base:
            return [
                Inspection(
                    "lr_too_low",
                    "sick",
                    f"by step {seen.step} of {seen.total} the schedule has raised the learning rate of {called(record)} to "
                    f"{record.rate:.3g}, {record.rate / record.base:.0%} of {record.base:.3g}",
                    "let the warm-up end within the first tenth of the run: count it in the unit in which the schedule is stepped",
                )
            ]
        momentum = record.defaults.get("momentum")
        if isinstance(momentum, int | float) and momentum >= 0.99:
            return [
                Inspection(
                    "momentum_too_high",
                    "suspect",
                    f"{called(record)} has a momentum of {momentum:g}, so a step sums the gradients of {1 / (1 - momentum):.0f} steps",
                    "use a momentum of 0.9",
                )
            ]
        value = record.defaults.get("weight_decay")
        decay = float(value) if isinstance(value, int | float) else 0.0
        shrunk = 0.0 if math.isnan(record.rate) else record.rate * decay
        if shrunk > 0.02 and not (record.kind == "Adam" and decay < 1):
            return [
                Inspection(
                    "weight_decay_too_high",
                    "sick",
                    f"weight decay {decay:g} at a learning rate of {record.rate:.2g} takes {shrunk:.0%} off the weights of "
                    f"{held(seen, record)} in each step",
                    "use a weight decay of 0.01 to 0.1 with AdamW, and of 1e-5 to 1e-3 with SGD or Adam",
                )
            ]
        many = sum(p.numel() for p in record.parameters) >= 1000
        if "adam" in record.kind.lower() and record.rate >= FAST and many:
            return [
                Inspection(
                    "lr_too_high",
                    "sick" if record.rate >= 4 * FAST else "suspect",
                    f"the learning rate of {called(record)} is {record.rate:.2g}; {record.kind} moves each weight by about that "
                    "much in each step, and 1e-4 to 1e-2 is usual",
                    f"lower the learning rate of {called(record)} to 1e-3",
                )
            ]
        few = sum(p.numel() for p in record.parameters) < 1000 or record.kind.startswith("SGD")  # may move far and well
        if record.first_update > (2 * DESTROYED if few else DESTROYED) and record.steps >= 20:
            return [
                Inspection(
                    "lr_too_high",
                    "sick",
                    f"the first step of {called(record)} changed the weights of {held(seen, record)} by {record.first_update:.0%} of "
                    f"their norm, so nothing is left of their initialisation; its learning rate is {record.highest:.3g}",
                    f"lower the learning rate of {called(record)} by a factor of 10 to 100",
                )
            ]
        if len(newest) == 3 and min(newest) > TOO_LARGE and record.steps >= 20:
            return [
                Inspection(
                    "lr_too_high",
                    "sick",
                    f"each step of {called(record)} changes the weights of {held(seen, record)} by {newest[-1]:.0%} of their "
                    f"norm (usual: about 0.1%); its learning rate is {record.rate:.3g}",
                    f"lower the learning rate of {called(record)} by a factor of 10 to 100",
                )
            ]
    return []


DESTROYED = 0.5  # the same for a first step that leaves nothing of the initialisation; 0.02 at Adam's usual rate
FAST = 0.05  # learning rate of Adam
TOO_LARGE = 0.1  # norm of an update over that of the weights


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


def forgotten(seen: Observed) -> list[Inspection]:
    """Find parameters that a loss reaches and that no optimizer steps."""
    if seen.watched < WAIT or not seen.optimizers:
        return []
    in_one = set().union(*(r.ids for r in seen.optimizers), *(r.ids for r in seen.idle))
    reached = set().union(*(g.parameters for n, g in seen.graphs.items() if n in seen.values), set())
    found = []
    for network in seen.networks:
        parameters = [(n, p) for n, p in network.module.named_parameters() if p.requires_grad]
        out = [(n, p) for n, p in parameters if id(p) not in in_one and (p.grad is not None or id(p) in reached)]
        if not out:
            continue
        share = sum(p.numel() for _, p in out) / max(1, sum(p.numel() for _, p in parameters))
        partly = len(out) < len(parameters)
        # beside frozen parameters the others are meant to be trained
        frozen = network.beside_frozen or any(not p.requires_grad for p in network.module.parameters())
        if not partly and not frozen and not _upstream(seen, network) and not _small_criterion(seen, network):
            continue
        what = (
            f"{share:.0%} of the parameters of {network.name} ({listed([n for n, _ in out])})"
            if partly
            else f"all parameters of {network.name}"
        )
        norms = {
            id(p) for m in network.module.modules() if "Norm" in type(m).__name__ for p in m.parameters(recurse=False)
        }
        if all(id(p) in norms for _, p in out):
            continue  # a usual way to fine-tune
        severity: Literal["sick", "suspect"] = "sick" if share > 0.02 else "suspect"
        found.append(
            Inspection(
                "parameters_not_optimized",
                severity,
                f"{what} get gradients, but no optimizer holds them",
                "pass them to an optimizer; build the optimizer after the network is complete",
            )
        )
    for name, graph in seen.graphs.items():
        trainable = {i for i, p in graph.leaves.items() if isinstance(p, nn.Parameter)}
        if trainable and name in seen.values and not trainable & in_one and not found:
            found.append(
                Inspection(
                    "parameters_not_optimized",
                    "sick",
                    f"no parameter that {name} depends on is in an optimizer",
                    "build the optimizer from the parameters of the network that is trained now",
                )
            )
    return found


def _small_criterion(seen: Observed, network: Network) -> bool:
    """True for a loss with a few parameters of its own; a large one is a fixed network that compares features."""
    named = any(word in f"{network.name} {type(network.module).__name__}".lower() for word in ("criterion", "loss"))
    trained = sum(p.numel() for n in seen.networks if n.trained for p in n.module.parameters())
    return named and sum(p.numel() for p in network.module.parameters()) < 0.1 * trained


def _upstream(seen: Observed, network: Network) -> bool:
    """True if a network that no optimizer holds feeds trained ones or is sampled from; a fixed feature network does neither."""
    if seen.average is not None and seen.average.network is network:
        return False
    if seen.per_sample.get(network.name):
        return True
    return any(call.network.trained for call, _ in _fed(seen, network))


def _fed(seen: Observed, network: Network) -> Iterator[tuple[Call, Argument]]:
    """Yield the calls of other networks that got an output of this one, between the same two calls of the watch.

    Memory is used again later, so an equal address says nothing there.
    """
    made: dict[int, int] = {}
    for call in seen.calls:
        if call.sampling:
            continue
        if call.network is network:
            made[call.address] = call.turn
        else:
            yield from ((call, a) for a in call.arguments if a.address and made.get(a.address) == call.turn)


def shared(seen: Observed) -> list[Inspection]:
    """Find parameters that two optimizers step."""
    found = []
    for i, one in enumerate(seen.optimizers):
        for other in seen.optimizers[i + 1 :]:
            both = one.ids & other.ids
            if not both or min(one.steps, other.steps) < SEEN:
                continue
            networks = [n for n in seen.networks if {id(p) for p in n.module.parameters()} & both]
            names = [n.name for n in networks]
            # an encoder may have a loss for each of its tasks, each with an optimizer
            severity: Literal["sick", "note"] = "sick" if _opposed(seen, networks) else "note"
            found.append(
                Inspection(
                    "parameters_shared",
                    severity,
                    f"{called(one)} and {called(other)} both step the parameters of {listed(names) or 'one network'}",
                    f"give {called(one)} and {called(other)} the parameters of their own network only",
                )
            )
    return found


def _opposed(seen: Observed, networks: list[Network]) -> bool:
    """True if one of these networks is a discriminator, or no network of the loop has a role that tells."""
    return any(n.role == "discriminator" for n in networks) or all(
        n.role == "model" for n in seen.networks if n.trained
    )


def unreached(seen: Observed) -> list[Inspection]:
    """Find networks in an optimizer to which no gradient comes: detached, or frozen."""
    found = []
    for network in seen.networks:
        record = seen.record_of(network)
        if record is None or record.steps < SEEN or seen.watched < SEEN:
            continue
        own = [p for p in network.module.parameters() if id(p) in record.ids]
        frozen_among_others = not any(p.requires_grad for p in own) and any(p.requires_grad for p in record.parameters)
        if not own or frozen_among_others:
            continue
        if all(not p.requires_grad for p in own) and record.without_gradient >= SEEN:
            found.append(
                Inspection(
                    "not_trained",
                    "sick",
                    f"all parameters of {network.name} have requires_grad=False, and {called(record)} is to train them",
                    "set requires_grad_(True) on them, or take them out of the optimizer",
                )
            )
        elif not any(id(p) in record.reached for p in own):
            reason = _why_unreached(seen, network)
            found.append(
                Inspection("not_trained", "sick", f"no gradient reaches {network.name}: {reason}", _advice(reason))
            )
        elif (
            seen.watched >= WAIT
            and seen.graphs
            and not any(g.parameters & {id(p) for p in own} for g in seen.graphs.values())
        ):
            if all(p.grad is None or not bool(p.grad.any()) for p in own) and _judged(seen):
                reason = _why_unreached(seen, network)
                found.append(
                    Inspection("not_trained", "sick", f"no gradient reaches {network.name}: {reason}", _advice(reason))
                )
        elif seen.watched >= WAIT:
            frozen = [n for n, p in network.module.named_parameters() if not p.requires_grad and id(p) in record.ids]
            silent = [
                n
                for n, p in network.module.named_parameters()
                if p.requires_grad and id(p) in record.ids and id(p) not in record.reached
            ]
            size = sum(p.numel() for p in own)
            lost = sum(p.numel() for n, p in network.module.named_parameters() if n in set(silent))
            stuck = sum(p.numel() for n, p in network.module.named_parameters() if n in set(frozen))
            if lost > 0.02 * size:
                found.append(
                    Inspection(
                        "not_trained",
                        "suspect",
                        f"{lost / size:.0%} of the parameters of {network.name} never get a gradient ({listed(silent)})",
                        "check for detach(), no_grad() or .data between them and the loss, and for layers that forward() does not use",
                    )
                )
            elif stuck > 0.5 * size:
                found.append(
                    Inspection(
                        "not_trained",
                        "suspect",
                        f"{stuck / size:.0%} of the parameters in {called(record)} have requires_grad=False ({listed(frozen)})",
                        "if they are not frozen on purpose, set requires_grad_(True) on them",
                    )
                )
    return found


def frozen(seen: Observed) -> list[Inspection]:
    """Find a small network nearly all of whose parameters are frozen: too small to be a pretrained one."""
    for network in seen.networks:
        sizes = [(p.numel(), p.requires_grad) for p in network.module.parameters()]
        whole, free = sum(n for n, _ in sizes), sum(n for n, grad in sizes if grad)
        if network.trained and 1000 < whole < PRETRAINED and free < 0.05 * whole and seen.watched >= WAIT:
            return [
                Inspection(
                    "not_trained",
                    "suspect",
                    f"{1 - free / whole:.1%} of the parameters of {network.name} have requires_grad=False",
                    "set requires_grad_(True) on them, unless they were trained before and are frozen on purpose",
                )
            ]
    return []


PRETRAINED = 1_000_000  # parameters from which a network is likely to be a pretrained one


def _judged(seen: Observed) -> bool:
    return len([g for n, g in seen.graphs.items() if n in seen.values]) >= 1


def _why_unreached(seen: Observed, network: Network) -> str:
    for call, argument in _fed(seen, network):
        if not argument.requires_grad:
            return f"its output is detached before {call.network.name}"
    if not seen.in_use(network):
        return "it is not called in training"
    return "its output does not reach a loss (detach(), no_grad(), .data or .item() in between?)"


def _advice(reason: str) -> str:
    if "not called" in reason:
        return "train the network that is in the optimizer, or build the optimizer from the one that is trained"
    return "do not detach its output where its own loss is computed; detach only for the other network's loss"


def reset(seen: Observed) -> list[Inspection]:
    """Find weights that something outside of the optimizer puts back after each step."""
    found: list[Inspection] = []
    for record in seen.optimizers:
        if any(record.ids & other.ids for other in seen.optimizers if other is not record):
            continue  # it is the other optimizer that changes them
        if 2 <= record.overwritten < 0.2 * record.steps and not found:
            found.append(
                Inspection(
                    "ema_replaces_weights",
                    "suspect",
                    f"the weights of {held(seen, record)} were overwritten {record.overwritten} times "
                    f"between steps of {called(record)}",
                    "if an average or a checkpoint is loaded for validation, copy the trained weights first and load the copy back",
                )
            )
        if len(record.kept) >= SEEN and sorted(record.kept)[-1 - len(record.kept) // 5] < 0.5:
            share = max(0.0, sorted(record.kept)[len(record.kept) // 2])
            found.append(
                Inspection(
                    "ema_replaces_weights",
                    "sick",
                    f"only {share:.1%} of each update of {called(record)} is left before the next: the weights of "
                    f"{held(seen, record)} are overwritten between its steps",
                    "keep the moving average in a copy of the network, and do not load it back into the one that is trained",
                )
            )
    return found


def codes(seen: Observed) -> list[Inspection]:
    """Find a decoder of a VAE whose codes carry no gradient, so that its error does not reach the encoder."""
    encoders = [n for n in seen.networks if n.role == "encoder" and n.trained]
    for decoder in (n for n in seen.networks if n.role == "decoder" and n.trained):
        calls = [c for c in seen.in_use(decoder) if c.graph and c.arguments and c.arguments[0].floating]
        calls = [c for c in calls if c.arguments[0].varies]  # codes, and no queries that are the same for all
        sampled = [c for c in seen.calls if c.network is decoder and c.sampling and c.arguments]
        alike = sampled and calls and sampled[0].arguments[0].shape[1:] == calls[0].arguments[0].shape[1:]
        if encoders and alike and len(calls) >= SEEN and not any(c.arguments[0].requires_grad for c in calls):
            return [
                Inspection(
                    "not_trained",
                    "sick",
                    f"the codes that {decoder.name} gets carry no gradient, so its error does not reach {encoders[0].name}",
                    "draw the code by rsample(), or as mean + deviation * noise; sample() and detach() cut the gradient",
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
        graphs = [c for c in seen.in_use(network) if c.graph and c.turn > 1]
        if not network.trained or not seen.holds(nn.modules.batchnorm._BatchNorm, network=network):
            continue
        turns = {c.turn for c in graphs}
        mixed = [t for t in turns if len({c.training for c in graphs if c.turn == t}) == 2]
        if len(mixed) >= SEEN and len(mixed) > 0.5 * len(turns):
            return [
                Inspection(
                    "batch_norm_modes_differ",
                    "suspect",
                    f"in each step {network.name} is called once in training and once in evaluation mode, so its BatchNorm "
                    "normalises by other statistics for one loss than for the other",
                    f"call {network.name} in the same mode for both losses",
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


INSPECTIONS: tuple[Inspect, ...] = (
    reset,
    codes,
    duplicates,
    half,
    linear,
    beginnings,
    sizes,
    modes,
    both_modes,
    forgotten,
    shared,
    frozen,
    unreached,
)

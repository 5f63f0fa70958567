"""Inspections of optimizers and gradients: cleared, stepped, complete, exclusive, at a rate above 0."""

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from trainwright.diagnosis.inspection import Inspect, Inspection, listed
from trainwright.diagnosis.observing.calls import Argument, Call
from trainwright.diagnosis.observing.networks import Network
from trainwright.diagnosis.observing.observer import Observed
from trainwright.diagnosis.observing.optimizers import OptimizerRecord

SEEN = 4  # steps of an optimizer before its gradients are judged
WAIT = 12  # calls of the watch before something that did not happen is missed


def uncleared(seen: Observed) -> list[Inspection]:
    """Find gradients that are never cleared between two steps of their own optimizer."""
    found = []
    for record in seen.optimizers:
        if _mostly(seen, record, "uncleared"):
            name, what = _called(record), _networks(seen, record)
            found.append(
                Inspection(
                    "gradients_not_cleared",
                    "sick",
                    f"the gradients of {what} are never cleared: each step of {name} adds all earlier ones",
                    f"call {name}.zero_grad() before the backward pass of its loss",
                )
            )
    return found


def mixed(seen: Observed) -> list[Inspection]:
    """Find gradients of another network's loss in a step, left there because they were not cleared in between."""
    found = []
    for record in seen.optimizers:
        if _mostly(seen, record, "mixed"):
            name, what = _called(record), _networks(seen, record)
            found.append(
                Inspection(
                    "gradients_of_other_loss",
                    "sick",
                    f"{name} steps {what} with gradients of its own loss plus those that the other optimizer's loss left there",
                    f"call {name}.zero_grad() after the other optimizer's step and before the backward pass of its own loss",
                )
            )
    return found


def entangled(seen: Observed) -> list[Inspection]:
    """Find samples that are not detached in a discriminator's loss, so that their generator steps with its gradient too."""
    for d in (n for n in seen.networks if n.role == "discriminator" and n.trained):
        own = seen.record_of(d)
        if not any(c.opposed and c.source == "attached" for c in seen.in_use(d)):
            continue
        for record in seen.optimizers:
            flows = [f for f in seen.flows.get(record.key, ()) if f.clean >= SEEN]
            if record is own or not flows or not all(f.double > 0.5 * f.clean for f in flows):
                continue
            return [
                Inspection(
                    "gradients_of_other_loss",
                    "sick",
                    f"{_called(record)} steps {_networks(seen, record)} with the gradient of {d.name}'s own loss too, "
                    "which pulls the other way: samples are not detached there",
                    f"call {d.name} on samples.detach() in its own loss, and step {_called(record)} before its backward pass",
                )
            ]
    return []


def sizes(seen: Observed) -> list[Inspection]:
    """Find updates that are large against the weights, step after step."""
    for record in seen.optimizers:
        newest = record.updates[-3:]
        if len(newest) == 3 and min(newest) > TOO_LARGE and record.steps >= 20:
            return [
                Inspection(
                    "lr_too_high",
                    "suspect",
                    f"each step of {_called(record)} changes the weights of {_networks(seen, record)} by {newest[-1]:.0%} of their "
                    f"norm (usual: about 0.1%); its learning rate is {record.rate:.3g}",
                    f"lower the learning rate of {_called(record)} by a factor of 10 to 100",
                )
            ]
    return []


TOO_LARGE = 0.1  # norm of an update over that of the weights


def _mostly(seen: Observed, record: OptimizerRecord, state: Literal["uncleared", "mixed"]) -> bool:
    """True if the followed gradients of an optimizer were in this state in more than nine of ten steps."""
    steps = [(getattr(f, state), f.uncleared + f.mixed + f.clean) for f in seen.flows.get(record.key, ())]
    judged = [(count, whole) for count, whole in steps if whole >= SEEN]
    return bool(judged) and all(count > 0.9 * whole for count, whole in judged)


def idle(seen: Observed) -> list[Inspection]:
    """Find an optimizer that never steps although its parameters get gradients."""
    if seen.watched < WAIT:
        return []
    stepping = set().union(*(r.ids for r in seen.optimizers), set())
    found = []
    for record in seen.idle:
        left = [p for p in record.parameters if id(p) not in stepping and p.grad is not None]
        reached = set().union(*(g.parameters for g in seen.graphs.values()), set())
        if left and record.ids & reached and len(left) > 0.5 * len(record.parameters):
            name = _called(record)
            found.append(
                Inspection(
                    "optimizer_never_steps",
                    "sick",
                    f"{name} has made no step, so {_networks(seen, record)} is not trained{_twice(seen)}",
                    f"call {name}.step() after the backward pass of its loss",
                )
            )
    return found


def stopped(seen: Observed) -> list[Inspection]:
    """Find an optimizer that has stepped and does not any more, while its gradients still arrive."""
    found = []
    for record in seen.optimizers:
        usual = record.watched_at / max(1, record.steps)
        waited = seen.watched - record.watched_at
        arriving = [p for p in record.parameters if p.grad is not None and bool(p.grad.any())]
        if record.watched_at and waited > max(24, 8 * usual) and len(arriving) > 0.5 * len(record.parameters):
            found.append(
                Inspection(
                    "optimizer_never_steps",
                    "sick",
                    f"{_called(record)} has made no step for {waited} calls although gradients arrive",
                    f"call {_called(record)}.step() after each backward pass; look for what skips it",
                )
            )
    return found


def _twice(seen: Observed) -> str:
    often = [r for r in seen.optimizers if r.steps >= 1.9 * seen.watched]
    return (
        f"; {_called(often[0])} steps {often[0].steps / max(1, seen.watched):.0f} times as often"
        if len(often) == 1
        else ""
    )


def forgotten(seen: Observed) -> list[Inspection]:
    """Find parameters that a loss reaches and that no optimizer steps."""
    if seen.watched < WAIT or not seen.optimizers:
        return []
    held = set().union(*(r.ids for r in seen.optimizers), *(r.ids for r in seen.idle))
    reached = set().union(*(g.parameters for n, g in seen.graphs.items() if n in seen.values), set())
    found = []
    for network in seen.networks:
        parameters = [(n, p) for n, p in network.module.named_parameters() if p.requires_grad]
        out = [(n, p) for n, p in parameters if id(p) not in held and (p.grad is not None or id(p) in reached)]
        if not out:
            continue
        share = sum(p.numel() for _, p in out) / max(1, sum(p.numel() for _, p in parameters))
        partly = len(out) < len(parameters)
        frozen = any(not p.requires_grad for p in network.module.parameters())  # so the others are meant to be trained
        if not partly and not frozen and not _upstream(seen, network):
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
        if trainable and name in seen.values and not trainable & held and not found:
            found.append(
                Inspection(
                    "parameters_not_optimized",
                    "sick",
                    f"no parameter that {name} depends on is in an optimizer",
                    "build the optimizer from the parameters of the network that is trained now",
                )
            )
    return found


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
            names = [n.name for n in seen.networks if {id(p) for p in n.module.parameters()} & both]
            found.append(
                Inspection(
                    "parameters_shared",
                    "sick",
                    f"{_called(one)} and {_called(other)} both step the parameters of {listed(names) or 'one network'}",
                    f"give {_called(one)} and {_called(other)} the parameters of their own network only",
                )
            )
    return found


def unreached(seen: Observed) -> list[Inspection]:
    """Find networks in an optimizer to which no gradient comes: detached, or frozen."""
    found = []
    for network in seen.networks:
        record = seen.record_of(network)
        if record is None or record.steps < SEEN or seen.watched < SEEN:
            continue
        own = [p for p in network.module.parameters() if id(p) in record.ids]
        if not own:
            continue
        if all(not p.requires_grad for p in own) and record.without_gradient >= SEEN:
            found.append(
                Inspection(
                    "not_trained",
                    "sick",
                    f"all parameters of {network.name} have requires_grad=False, and {_called(record)} is to train them",
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
            if lost > 0.3 * size:
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
                        f"{stuck / size:.0%} of the parameters in {_called(record)} have requires_grad=False ({listed(frozen)})",
                        "if they are not frozen on purpose, set requires_grad_(True) on them",
                    )
                )
    return found


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


def rates(seen: Observed) -> list[Inspection]:
    """Find learning rates that are 0, or that reach 0 long before the end."""
    found = []
    for record in seen.optimizers:
        if math.isnan(record.rate) or record.steps < 10:
            continue
        name = _called(record)
        if record.highest == 0:
            found.append(
                Inspection(
                    "lr_zero",
                    "sick",
                    f"the learning rate of {name} is 0",
                    "set a rate above 0, or step the schedule that raises it",
                )
            )
        elif (
            seen.total and record.rate <= 1e-4 * record.highest and seen.step < 0.7 * seen.total and record.steps >= 10
        ):
            found.append(
                Inspection(
                    "lr_reaches_zero_early",
                    "sick",
                    f"the learning rate of {name} has fallen from {record.highest:.3g} to {record.rate:.3g} "
                    f"by step {seen.step} of {seen.total}",
                    "let the schedule end with the run: give it the number of optimizer steps, and step it once for each of them",
                )
            )
    return found


def directions(seen: Observed) -> list[Inspection]:
    """Find an optimizer that is told to maximise, or whose updates go up the gradient."""
    found = []
    for record in seen.optimizers:
        negative = not math.isnan(record.rate) and record.rate < 0
        if negative:
            found.append(
                Inspection(
                    "wrong_sign", "sick", f"the learning rate of {_called(record)} is negative", "use a positive rate"
                )
            )
    return found


def _called(record: OptimizerRecord) -> str:
    return record.name or f"the {record.kind} optimizer"


def _networks(seen: Observed, record: OptimizerRecord) -> str:
    names = [n.name for n in seen.networks if {id(p) for p in n.module.parameters()} & record.ids]
    return listed(names) or "its parameters"


def flat(seen: Observed) -> list[Inspection]:
    """Find a network all of whose gradients are exactly 0 although its loss is not at a minimum: a flat part of the loss."""
    found = []
    for record in seen.optimizers:
        newest = record.measured[-SEEN:]
        measured = len(newest) == SEEN and all(s.norm == 0 and s.with_gradient for s in newest)
        if not measured and record.zeros < 0.4:
            continue
        held = [n for n in seen.networks if {id(p) for p in n.module.parameters()} & record.ids]
        if held and all(n.role == "discriminator" for n in held):
            continue  # its hinge is flat once it tells all samples apart
        graphs = {n: g for n, g in seen.graphs.items() if g.parameters & record.ids}
        cut = sorted(set().union(*(g.head for g in graphs.values()), set()) & FLAT)
        if not cut:
            continue  # the network itself lets nothing through, see the cause dead_units
        name = _networks(seen, record)
        found.append(
            Inspection(
                "flat_loss",
                "sick",
                f"the gradient of {name} is exactly 0 in most steps: its loss ({listed(sorted(graphs))}) is cut off "
                f"by {listed([c.lower() for c in cut])}",
                f"use a loss without a flat part for {name}; only the discriminator's hinge is cut off",
            )
        )
    return found


def lost(seen: Observed) -> list[Inspection]:
    """Find gradients that are cleared before the step that was to use them, as when accumulation clears in every batch."""
    if len(seen.optimizers) != 1:
        return []  # a discriminator's gradients of the generator's loss are cleared on purpose
    for record in seen.optimizers:
        flows = [f for f in seen.flows.get(record.key, ()) if f.clean + f.uncleared + f.mixed >= SEEN]
        if flows and all(f.lost > 0.9 * (f.clean + f.uncleared + f.mixed) for f in flows):
            name = _called(record)
            return [
                Inspection(
                    "accumulated_gradients_cleared",
                    "sick",
                    f"gradients are cleared between two backward passes without a step of {name}: only the last batch counts",
                    f"call {name}.zero_grad() right after {name}.step() only",
                )
            ]
    return []


def reset(seen: Observed) -> list[Inspection]:
    """Find weights that something outside of the optimizer puts back after each step."""
    found = []
    for record in seen.optimizers:
        if len(record.kept) >= SEEN and sorted(record.kept)[-1 - len(record.kept) // 5] < 0.5:
            share = max(0.0, sorted(record.kept)[len(record.kept) // 2])
            found.append(
                Inspection(
                    "ema_replaces_weights",
                    "sick",
                    f"only {share:.1%} of each update of {_called(record)} is left before the next: the weights of "
                    f"{_networks(seen, record)} are overwritten between its steps",
                    "keep the moving average in a copy of the network, and do not load it back into the one that is trained",
                )
            )
    return found


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


def half(seen: Observed) -> list[Inspection]:
    """Find weights of 16 bits that an optimizer steps directly."""
    for record in seen.optimizers:
        types = {p.dtype for p in record.parameters if p.requires_grad}
        if torch.float16 in types:
            return [
                Inspection(
                    "precision",
                    "sick",
                    f"{_called(record)} steps weights of float16: its epsilon and small updates round to 0",
                    "keep the weights in float32 and use torch.autocast with a GradScaler",
                )
            ]
        if torch.bfloat16 in types and record.updates and record.updates[-1] < 1e-3:
            return [
                Inspection(
                    "precision",
                    "suspect",
                    f"{_called(record)} steps weights of bfloat16 by {record.updates[-1]:.1e} of their size, "
                    "and bfloat16 cannot show less than 4e-3",
                    "keep the weights in float32 and use torch.autocast",
                )
            ]
    return []


FLAT = frozenset(
    {
        "Relu",
        "Clamp",
        "ClampMin",
        "ClampMax",
        "Threshold",
        "Maximum",
        "Minimum",
        "Hardtanh",
        "Sigmoid",
        "HardtanhBackward",
    }
)


def modes(seen: Observed) -> list[Inspection]:
    """Find a network that is trained in evaluation mode although it has layers that are estimated in training mode only."""
    found = []
    for network in seen.networks:
        calls = seen.in_use(network)
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
    entangled,
    sizes,
    lost,
    reset,
    duplicates,
    half,
    flat,
    modes,
    uncleared,
    mixed,
    idle,
    stopped,
    forgotten,
    shared,
    unreached,
    rates,
    directions,
)

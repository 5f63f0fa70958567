"""Inspections of optimizers and gradients: cleared, stepped, of one loss only, at a rate above 0."""

import math
from typing import Literal

from trainwright.diagnosis.inspection import Inspect, Inspection, listed
from trainwright.diagnosis.observing.observer import Observed
from trainwright.diagnosis.observing.optimizers import OptimizerRecord

SEEN = 4  # steps of an optimizer before its gradients are judged


WAIT = 12  # calls of the watch before something that did not happen is missed


def uncleared(seen: Observed) -> list[Inspection]:
    """Find gradients that are never cleared between two steps of their own optimizer."""
    found = []
    for record in seen.optimizers:
        if _mostly(seen, record, "uncleared"):
            name, what = called(record), held(seen, record)
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
            name, what = called(record), held(seen, record)
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
            if record is own or not any(f.double > 0.5 * f.clean for f in flows):
                continue
            return [
                Inspection(
                    "gradients_of_other_loss",
                    "sick",
                    f"{called(record)} steps {held(seen, record)} with the gradient of {d.name}'s own loss too, "
                    "which pulls the other way: samples are not detached there",
                    f"call {d.name} on samples.detach() in its own loss, and step {called(record)} before its backward pass",
                )
            ]
    return []


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
        own = [n for n in seen.networks if {id(p) for p in n.module.parameters()} & (record.ids - stepping)]
        if own and seen.optimizers and any(seen.per_sample.get(n.name) and seen.in_use(n) for n in own):
            found.append(
                Inspection(
                    "optimizer_never_steps",
                    "sick",
                    f"{called(record)} has made no step, so {held(seen, record)}, from which samples come, is not trained",
                    f"compute the loss of {held(seen, record)}, and call {called(record)}.step() after its backward pass",
                )
            )
            continue
        left = [p for p in record.parameters if id(p) not in stepping and p.grad is not None]
        if left and record.ids & _reached(seen) and len(left) > 0.5 * len(record.parameters):
            name = called(record)
            found.append(
                Inspection(
                    "optimizer_never_steps",
                    "sick",
                    f"{name} has made no step, so {held(seen, record)} is not trained{_twice(seen)}",
                    f"call {name}.step() after the backward pass of its loss",
                )
            )
    return found


def _reached(seen: Observed) -> set[int]:
    """Return the parameters that losses of this loop reach; optimizers of earlier loops hold others."""
    return set().union(*(g.parameters for g in seen.graphs.values()), seen.changed)


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
                    f"{called(record)} has made no step for {waited} calls although gradients arrive",
                    f"call {called(record)}.step() after each backward pass; look for what skips it",
                )
            )
    return found


def _twice(seen: Observed) -> str:
    often = [r for r in seen.optimizers if r.steps >= 1.9 * seen.watched]
    return (
        f"; {called(often[0])} steps {often[0].steps / max(1, seen.watched):.0f} times as often"
        if len(often) == 1
        else ""
    )


def rates(seen: Observed) -> list[Inspection]:
    """Find learning rates that are 0, or that reach 0 long before the end."""
    found = []
    for record in seen.optimizers:
        if math.isnan(record.rate) or record.steps < 10:
            continue
        name = called(record)
        if record.highest == 0:
            found.append(
                Inspection(
                    "lr_zero",
                    "sick",
                    f"the learning rate of {name} is 0",
                    "set a rate above 0, or step the schedule that raises it",
                )
            )
        elif seen.total and record.low_at is not None and record.low_at < 0.7 * seen.total and record.steps >= 10:
            found.append(
                Inspection(
                    "lr_reaches_zero_early",
                    "sick",
                    f"the learning rate of {name} has fallen from {record.highest:.3g} to {record.rate:.3g} "
                    f"by step {record.low_at} of {seen.total}",
                    "let the schedule end with the run: give it the number of optimizer steps, and step it once for each of them",
                )
            )
    return found


def clipped(seen: Observed) -> list[Inspection]:
    """Find gradients that are clipped to so small a norm that hardly anything is left of a step."""
    found = []
    for record in seen.optimizers:
        limit, share = record.clipped
        numbers = sum(p.numel() for p in record.parameters)
        if share < 0.9 or record.rate < 1e-3 * record.highest:
            continue
        epsilon = record.defaults.get("eps") if "adam" in record.kind.lower() else None
        lost = isinstance(epsilon, float) and limit / math.sqrt(max(1, numbers)) < 3 * epsilon
        if lost or (record.updates and record.updates[-1] < 1e-7):
            why = (
                f"about {limit / math.sqrt(max(1, numbers)):.1g} for each weight, below the epsilon {epsilon:.1g} of {record.kind}"
                if lost
                else f"and a step changes the weights by {record.updates[-1]:.1g} of their norm"
            )
            found.append(
                Inspection(
                    "clipping_too_tight",
                    "sick",
                    f"the gradients of {held(seen, record)} are clipped to a norm of {limit:.2g} in {share:.0%} of the steps, {why}",
                    "clip to a norm that most steps do not reach: 1 to 10",
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
                    "wrong_sign", "sick", f"the learning rate of {called(record)} is negative", "use a positive rate"
                )
            )
    return found


def called(record: OptimizerRecord) -> str:
    """Return the user's name of an optimizer."""
    return record.name or f"the {record.kind} optimizer"


def held(seen: Observed, record: OptimizerRecord) -> str:
    """Return the names of the networks that an optimizer steps."""
    names = [n.name for n in seen.networks if {id(p) for p in n.module.parameters()} & record.ids]
    return listed(names) or "its parameters"


def flat(seen: Observed) -> list[Inspection]:
    """Find a network all of whose gradients are exactly 0 although its loss is not at a minimum: a flat part of the loss."""
    found = []
    for record in seen.optimizers:
        newest = record.measured[-SEEN:]
        measured = len(newest) == SEEN and all(s.norm == 0 and s.with_gradient for s in newest)
        often = sum(s.norm == 0 for s in record.measured) > 0.3 * len(record.measured)
        if not measured and (record.zeros < 0.4 or not often):
            continue
        own = [n for n in seen.networks if {id(p) for p in n.module.parameters()} & record.ids]
        if own and all(n.role == "discriminator" for n in own):
            continue  # its hinge is flat once it tells all samples apart
        graphs = {n: g for n, g in seen.graphs.items() if g.parameters & record.ids}
        cut = sorted(set().union(*(g.head for g in graphs.values()), set()) & FLAT)
        if not cut:
            continue  # the network itself lets nothing through, see the cause dead_units
        name = held(seen, record)
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
    stepped = set().union(*(r.ids for r in seen.optimizers), set())
    if len(seen.optimizers) + sum(bool((r.ids - stepped) & _reached(seen)) for r in seen.idle) != 1:
        return []  # a discriminator's gradients of the generator's loss are cleared on purpose
    for record in seen.optimizers:
        flows = [f for f in seen.flows.get(record.key, ()) if f.clean + f.uncleared + f.mixed >= SEEN]
        if flows and all(f.lost > 0.9 * (f.clean + f.uncleared + f.mixed) for f in flows):
            name = called(record)
            return [
                Inspection(
                    "accumulated_gradients_cleared",
                    "sick",
                    f"gradients are cleared between two backward passes without a step of {name}: only the last batch counts",
                    f"call {name}.zero_grad() right after {name}.step() only",
                )
            ]
    return []


def emptied(seen: Observed) -> list[Inspection]:
    """Find gradients that are cleared between the backward pass and the step of their own optimizer."""
    for record in seen.optimizers:
        newest = record.measured[-SEEN:]
        if len(newest) < SEEN or any(s.norm != 0 for s in newest):
            continue
        flows = [f for f in seen.flows.get(record.key, ()) if f.newest is not None and bool(f.newest.any())]
        arrived = any(f.clean + f.uncleared + f.mixed >= SEEN and f.handle is not None for f in flows)
        if not arrived and record.without_gradient >= SEEN:
            own = [
                n
                for n in seen.networks
                if n.trained and {id(p) for p in n.module.parameters() if p.requires_grad} & record.ids
            ]
            arrived = any(sum(record.key in c.pulled for c in seen.in_use(n)) >= SEEN for n in own)
        if arrived:
            name = called(record)
            return [
                Inspection(
                    "accumulated_gradients_cleared",
                    "sick",
                    f"gradients of {held(seen, record)} arrive, and are cleared before {name} steps: it never moves anything",
                    f"call {name}.zero_grad() before the backward pass or after {name}.step(), not between the two",
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


INSPECTIONS: tuple[Inspect, ...] = (
    uncleared,
    mixed,
    entangled,
    lost,
    emptied,
    flat,
    idle,
    stopped,
    rates,
    clipped,
    directions,
)

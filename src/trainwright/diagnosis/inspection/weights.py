"""Inspections of weights: all held by an optimizer, reached by a gradient, moved by a fitting amount, kept between steps."""

import math
from collections.abc import Iterator
from typing import Literal

from torch import nn

from trainwright.diagnosis.inspection import Inspect, Inspection, listed
from trainwright.diagnosis.inspection.optimization import SEEN, WAIT, called, held
from trainwright.diagnosis.observing.calls import Argument, Call
from trainwright.diagnosis.observing.networks import Network
from trainwright.diagnosis.observing.observer import Observed
from trainwright.diagnosis.observing.optimizers import OptimizerRecord


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
            found += _partly(network, record)
    return found


def _partly(network: Network, record: OptimizerRecord) -> list[Inspection]:
    """Find parameters of a trained network that never get a gradient, one of 0 only, or that are frozen in an optimizer."""
    asked = {n: p for n, p in network.module.named_parameters() if id(p) in record.ids}
    size = sum(p.numel() for p in asked.values())
    silent = [n for n, p in asked.items() if p.requires_grad and id(p) not in record.reached]
    zeros = {n: record.asked[id(p)] for n, p in asked.items() if id(p) in record.asked and id(p) not in record.moved}
    still = [n for n, (count, since) in zeros.items() if count >= STILL and record.steps - since >= LONG]
    stuck = [n for n, p in asked.items() if not p.requires_grad and id(p) not in record.reached]
    lost, zero, kept = (sum(asked[n].numel() for n in names) / size for names in (silent, still, stuck))
    if lost > 0.02:
        return [
            Inspection(
                "not_trained",
                "suspect",
                f"{lost:.0%} of the parameters of {network.name} never get a gradient ({listed(silent)})",
                "check for detach(), no_grad() or .data between them and the loss, and for layers that forward() does not use",
            )
        ]
    if zero > 0.05:
        return [
            Inspection(
                "not_trained",
                "sick" if record.norm > 0 and zero > 0.2 else "suspect",
                f"the gradient of {zero:.0%} of the parameters of {network.name} was exactly 0 in each of the "
                f"{min(zeros[n][0] for n in still)} steps that were measured ({listed(still)})",
                "look for a factor of 0 at their output (a fade-in, a mask), and for units that are never active",
            )
        ]
    if kept > 0.5:
        return [
            Inspection(
                "not_trained",
                "suspect",
                f"{kept:.0%} of the parameters in {called(record)} have requires_grad=False ({listed(stuck)})",
                "if they are not frozen on purpose, set requires_grad_(True) on them",
            )
        ]
    return []


def frozen(seen: Observed) -> list[Inspection]:
    """Find a small network nearly all of whose parameters are frozen: too small to be a pretrained one."""
    for network in seen.networks:
        sizes = [(p.numel(), p.requires_grad) for p in network.module.parameters()]
        whole, free = sum(n for n, _ in sizes), sum(n for n, grad in sizes if grad)
        record = seen.record_of(network)
        if record is not None and any(id(p) in record.reached and not p.requires_grad for p in network.parameters):
            continue  # switched off for the loss of another network only
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


STILL = 5  # measured steps
LONG = 64  # steps of an optimizer from the first of them
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


INSPECTIONS: tuple[Inspect, ...] = (reset, codes, sizes, forgotten, shared, frozen, unreached)

"""Inspections of losses by their graphs and values: does the criterion fit what it is applied to?"""

import math

from torch import nn

from trainwright.diagnosis.inspection import Inspect, Inspection
from trainwright.diagnosis.observing.graph import Criterion, LossGraph
from trainwright.diagnosis.observing.observer import Observed

PENALTIES = ("gp", "penalty", "gradient_penalty", "grad_penalty", "r1", "r2")


def criteria(seen: Observed) -> list[Inspection]:
    """Find a sigmoid or softmax that is applied twice, or not at all."""
    found = []
    for name, graph in seen.graphs.items():
        for one in graph.criteria:
            result = _fits(name, one, graph)
            if result is not None:
                found.append(result)
    return found


def normalized(seen: Observed) -> list[Inspection]:
    """Find a softmax that runs over the samples of a batch instead of classes, components or places."""
    for name, graph in seen.graphs.items():
        for network in seen.networks:
            place = 1 if seen.time_first(network) else 0
            shapes = [c.arguments[0].shape for c in seen.in_use(network) if c.graph and c.arguments]
            sizes = {s[place] for s in shapes if len(s) > place}
            for axis, shape in graph.softmaxes:
                single = math.prod(shape) == shape[axis]  # weights of the members of a set
                if (
                    axis == place
                    and shape[axis] in sizes
                    and shape.count(shape[axis]) == 1
                    and not single
                    and shape[axis] > 1
                ):
                    return [
                        Inspection(
                            "softmax_over_batch",
                            "sick",
                            f"{name} holds a softmax over axis {axis} of {shape}, which counts the samples of a batch",
                            "name the axis of the classes: softmax(x, dim=-1), log_softmax(x, dim=-1)",
                        )
                    ]
    return []


def _fits(name: str, one: Criterion, graph: LossGraph) -> Inspection | None:
    if one.operation == "BinaryCrossEntropyWithLogits" and one.applied_to == "Sigmoid":
        return Inspection(
            "sigmoid_twice",
            "suspect",
            f"{name} applies a sigmoid to the output of a sigmoid (BCEWithLogits expects logits)",
            "remove the sigmoid at the end of the network, or use BCELoss",
        )
    if one.operation.startswith("Nll") and one.applied_to == "LogSoftmax" and one.beneath == "Softmax":
        return Inspection(
            "sigmoid_twice",
            "suspect",
            f"{name} applies a softmax to the output of a softmax (CrossEntropyLoss expects logits)",
            "remove the softmax at the end of the network",
        )
    if (
        one.operation.startswith("Nll")
        and one.applied_to not in ("LogSoftmax", "Log", "", "Where", "MaskedFill")
        and "LogSoftmax" not in graph.operations
    ):
        return Inspection(
            "loss_expects_probabilities",
            "sick",
            f"{name} is a negative log-likelihood of values that are not log-probabilities ({one.applied_to})",
            "apply log_softmax before NLLLoss, or use CrossEntropyLoss",
        )
    return None


def outside_range(seen: Observed) -> list[Inspection]:
    """Find a cross-entropy with targets outside 0 to 1: of images, or a value below 0."""
    for name, graph in seen.graphs.items():
        entropies = [c for c in graph.criteria if c.operation.startswith("BinaryCrossEntropy")]
        if not entropies:
            continue
        if len(graph.criteria) == 1 and seen.values.get(name, 0.0) < -1e-4 and "Neg" not in graph.head:
            return [
                _outside(
                    f"{name} is {seen.values[name]:.3g}, but a cross-entropy of targets in 0 to 1 is never negative"
                )
            ]
        data = [
            c.arguments[0].values for n in seen.networks for c in seen.in_use(n) if c.source == "data" and c.arguments
        ]
        data = [x for x in data if x.is_floating_point() and x.ndim > 1]
        if not data and seen.real is not None:
            data = [seen.real]  # which may be scaled otherwise than what is trained on, so only if no call was seen
        sizes = {x[0].numel() for x in data}
        over = [c for c in entropies if len(c.shape) >= 2 and math.prod(c.shape[1:]) in sizes]
        if not over:
            continue
        data = [x for x in data if x[0].numel() == math.prod(over[0].shape[1:])]
        low, high = min(float(x.min()) for x in data), max(float(x.max()) for x in data)
        if over and (low < -0.01 or high > 1.01):
            return [_outside(f"{name} is a cross-entropy of the data, which lie in [{low:.3g}, {high:.3g}]")]
    return []


def _outside(message: str) -> Inspection:
    return Inspection(
        "loss_outside_range",
        "sick",
        message,
        "scale the targets to 0 to 1, or use a squared error for data of this range",
    )


def broadcast(seen: Observed) -> list[Inspection]:
    """Find a loss between (n, 1) and (n,), which compares every output with every target."""
    for name, graph in seen.graphs.items():
        if graph.broadcast is not None:
            before, after = graph.broadcast
            if before[1:] == after[1:] and len(before) == len(after) and before[0] == 1:
                return [
                    Inspection(
                        "loss_shapes_broadcast",
                        "sick",
                        f"{name} compares an output of shape {before} with targets of shape {after}: one output for the whole batch",
                        "give output and target the same shape; look at what the network is called with",
                    )
                ]
            if before != (after[0], 1) and before != after[:1]:
                return [
                    Inspection(
                        "loss_shapes_broadcast",
                        "sick",
                        f"{name} compares an output of shape {before} with targets that broadcast it to {after}",
                        "give output and target the same shape; look for an axis too many, or for too few output channels",
                    )
                ]
            return [
                Inspection(
                    "loss_shapes_broadcast",
                    "sick",
                    f"{name} compares tensors of shapes {before} and {_other(before)}, which broadcast to {after}",
                    "give output and target the same shape, for example output.squeeze(1)",
                )
            ]
    return []


def _other(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:1] if len(shape) == 2 else (shape[0], 1)


def penalties(seen: Observed) -> list[Inspection]:
    """Find a gradient penalty without a graph, or one in a critic with batch normalisation."""
    found = []
    twice = [n for n, g in seen.graphs.items() if g.double_backward]
    named = [
        n
        for n in seen.values
        if any(p in n.lower().split("/")[-1].split("_") or n.lower().endswith(p) for p in PENALTIES)
    ]
    if not twice and set(named) & set(seen.more.get("tensors_without_graph", ())):
        found.append(
            Inspection(
                "penalty_without_graph",
                "sick",
                f"{named[0]} has no gradient: it cannot change the critic",
                "compute the gradient with torch.autograd.grad(..., create_graph=True), outside of no_grad",
            )
        )
    if not found:
        found += _unused_penalty(seen)
    for network in seen.networks:
        if twice and network.role == "discriminator" and seen.holds(nn.modules.batchnorm._BatchNorm, network=network):
            found.append(
                Inspection(
                    "batch_norm_in_critic",
                    "suspect",
                    f"{network.name} has BatchNorm and its loss has a gradient penalty, "
                    "which assumes that one sample's score does not depend on the others",
                    "use LayerNorm, GroupNorm, InstanceNorm or no normalisation in it",
                )
            )
    return found


def _unused_penalty(seen: Observed) -> list[Inspection]:
    """Find a critic that is called for a gradient penalty of which no loss that is trained on holds anything."""
    for d in (n for n in seen.networks if n.role == "discriminator" and n.trained):
        own = {id(p) for p in d.module.parameters()}
        asked = [c for c in seen.in_use(d) if c.source == "penalty"]
        graphs = {n: g for n, g in seen.graphs.items() if g.parameters & own}
        used = [n for n, g in graphs.items() if g.passed or not g.waiting]
        if len(asked) < 3 or not used or any(graphs[n].double_backward and not graphs[n].waiting for n in used):
            continue
        left = sorted(n for n, g in graphs.items() if g.double_backward)
        if not left:
            return [
                Inspection(
                    "penalty_without_graph",
                    "sick",
                    f"{d.name} is called on inputs whose gradient is asked for, but no loss holds the gradient of a gradient: "
                    "the penalty cannot change the critic",
                    "compute the gradient with torch.autograd.grad(..., create_graph=True), outside of no_grad",
                )
            ]
        if all(graphs[n].waiting & own and not graphs[n].passed & own for n in left):
            return [
                Inspection(
                    "term_left_out",
                    "sick",
                    f"{left[0]} is computed, but no backward pass goes through it",
                    f"add {left[0]} to the loss of {d.name} before its backward pass",
                )
            ]
    return []


def not_finite(seen: Observed) -> list[Inspection]:
    """Explain gradients or losses that are not finite by the operations of the loss."""
    broken = [r for r in seen.optimizers if r.non_finite]
    values = {n: v for n, v in seen.values.items() if not math.isfinite(v)}
    if not broken and not values:
        return []
    operations = set().union(*(g.operations for g in seen.graphs.values()), set())
    roots = {"Sqrt", "LinalgVectorNorm", "Norm"} & operations
    finite = (seen.more.get("first_non_finite") or {}).get("finite", {})
    rooted = [
        n
        for n, g in seen.graphs.items()
        if {"Sqrt", "LinalgVectorNorm", "Norm"} & g.operations
        and (finite.get(n) or (g.double_backward and n in values))
    ]
    if rooted:
        kind = "a square root" if "Sqrt" in roots else "a norm"
        return [
            Inspection(
                "sqrt_at_zero",
                "sick",
                f"{rooted[0]} {'was finite but its gradients were not' if finite.get(rooted[0]) else 'is not finite'}; "
                f"it contains {kind}, which has no derivative at 0",
                "add a small number under the root: (x.square().sum(1) + 1e-12).sqrt()",
            )
        ]
    if {"Log", "Log2", "Log10"} & operations and not all(finite.values()):
        return [
            Inspection(
                "log_of_zero",
                "sick",
                "a loss is not finite, and it contains a logarithm without a lower bound",
                "use binary_cross_entropy_with_logits or log_softmax, or clamp the argument: x.clamp_min(1e-8).log()",
            )
        ]
    for name, graph in seen.graphs.items():
        if finite.get(name, True):
            continue
        usual = [
            n for n, g in seen.graphs.items() if finite.get(n) and g.parameters and g.parameters == graph.parameters
        ]
        if usual:
            return [
                Inspection(
                    "division_by_zero",
                    "sick",
                    f"{name} is not finite although {usual[0]} of the same step is: what they are computed with differs in a factor "
                    "or a term that is not finite",
                    f"look at what turns {usual[0]} into {name}: a division by zero, the logarithm of zero, an overflow",
                )
            ]
    for name, graph in seen.graphs.items():
        norms = [s.norm for r in seen.optimizers for s in r.measured if s.finite and s.norm > 0]
        steady = len(norms) < 4 or norms[-1] < 30 * sorted(norms)[len(norms) // 2]
        if finite.get(name) is False and "Div" in graph.head and steady:
            return [
                Inspection(
                    "division_by_zero",
                    "sick",
                    f"{name} is not finite although gradients had not grown before, and it divides by something that can be 0",
                    "add a small number to the denominator: a / (b + 1e-6), also to the numerator of a Dice loss",
                )
            ]
    return []


def negated(seen: Observed) -> list[Inspection]:
    """Find a loss that cannot be negative by its criterion, and is: it is maximised."""
    if any(n.role == "discriminator" for n in seen.networks):
        return []
    for name, graph in seen.graphs.items():
        kinds = {c.operation for c in graph.criteria}
        usual = len(graph.criteria) == 1 and (
            kinds <= {"MseLoss", "L1Loss", "SmoothL1Loss", "HuberLoss"} or _of_logits(graph)
        )
        if usual and "Neg" in graph.head and graph.passed and seen.values.get(name, 0.0) < -1e-6:
            return [
                Inspection(
                    "wrong_sign",
                    "sick",
                    f"{name} is {seen.values[name]:.3g}: an error with a minus before it, which training makes as large as it can",
                    f"remove the minus before the error in {name}",
                )
            ]
    return []


def _of_logits(graph: LossGraph) -> bool:
    return all(c.operation.startswith("Nll") and c.applied_to == "LogSoftmax" for c in graph.criteria)


def logarithms(seen: Observed) -> list[Inspection]:
    """Find a logarithm of scores that are not probabilities."""
    for name, graph in seen.graphs.items():
        scores = sorted(
            graph.logged
            & {"Tanh", "Relu", "LeakyRelu", "Convolution", "MkldnnConvolution", "CudnnConvolution", "Addmm", "Mm"}
        )
        if scores:
            what = (
                "a layer without activation"
                if scores[0] not in ("Tanh", "Relu", "LeakyRelu")
                else f"a {scores[0].lower()}"
            )
            return [
                Inspection(
                    "loss_expects_probabilities",
                    "sick",
                    f"{name} takes the logarithm of the output of {what}, which can be 0 or negative",
                    "end in a sigmoid or softmax, or use a loss of logits (binary_cross_entropy_with_logits, log_softmax)",
                )
            ]
    return []


def layouts(seen: Observed) -> list[Inspection]:
    """Find a view that scrambles axes, where a transposition was meant."""
    for name, graph in seen.graphs.items():
        if graph.relaid is None:
            continue
        before, after = graph.relaid.before, graph.relaid.after
        if graph.relaid.mixes == "batch":
            return [
                Inspection(
                    "batch_time_swapped",
                    "sick",
                    f"on the way to {name}, a view turns {before} into {after}, which puts elements of different samples into one row",
                    "exchange axes with transpose() or permute(); view() and reshape() do not move elements",
                )
            ]
        return [
            Inspection(
                "data_layout",
                "sick",
                f"on the way to {name}, a view turns {before} into {after}, which scrambles the axes instead of exchanging them",
                "exchange axes with transpose() or permute(); view() and reshape() do not move elements",
            )
        ]
    return []


INSPECTIONS: tuple[Inspect, ...] = (
    criteria, normalized, logarithms, outside_range, broadcast, penalties, not_finite, negated, layouts,
)  # fmt: skip

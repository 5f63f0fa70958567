"""Inspections of losses by their graphs and values: does the criterion fit what it is applied to?"""

import math
from collections.abc import Callable

from torch import Tensor, nn

from trainwright.diagnosis.inspection import Inspect, Inspection
from trainwright.diagnosis.observing.calls import Call
from trainwright.diagnosis.observing.graph import FIXED, Criterion, LossGraph
from trainwright.diagnosis.observing.observer import Observed
from trainwright.diagnosis.signal_names import AS_KL, mapping

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
    return []


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


def latents(seen: Observed) -> list[Inspection]:
    """Find an activation on the mean or log-variance of a posterior, which keeps it from the prior."""
    cut = {"Relu": "below 0", "Sigmoid": "outside 0 to 1", "Softplus": "below 0", "Softmax": "outside 0 to 1"}
    for graph in seen.graphs.values():
        if graph.latent is None:
            continue
        if graph.latent[1] == FIXED:
            return [
                Inspection(
                    "noise_drawn_once",
                    "sick",
                    "the noise of the codes is a parameter: it is the same for all samples and steps",
                    "draw new noise in each step: mean + deviation * torch.randn_like(mean)",
                )
            ]
        for what, by in zip(("mean", "log-variance"), graph.latent, strict=True):
            if by in cut:
                return [
                    Inspection(
                        "latent_activation",
                        "sick",
                        f"the {what} of the posterior comes out of a {by.lower()}, so it is never {cut[by]}",
                        f"end in a linear layer: take the {by.lower()} off the {what}",
                    )
                ]
    return []


def divergences(seen: Observed) -> list[Inspection]:
    """Compare the KL that was handed over with that of the codes of the same step: sign, formula, and the deviation of the noise.

    For a mean m and a log-variance v it is 0.5 (m^2 + exp(v) - 1 - v), up to a constant factor (Kingma and Welling 2014).
    """
    read = {c.turn: c.codes for c in seen.calls if not c.sampling and c.codes is not None and c.turn in seen.scalars}
    turns = [t for t in sorted(read) if seen.scalars[t]]
    width = min((len(seen.scalars[t]) for t in turns), default=0)
    if len(turns) < 5:
        return []
    found: dict[str, float] = {}
    for name, formula in FORMULAS.items():
        expected = [float(formula(*(x.double() for x in read[t]))) for t in turns]  # type: ignore[misc]
        for place in range(width):
            ratios = [seen.scalars[t][place] / e for t, e in zip(turns, expected, strict=True) if abs(e) > 1e-9]
            middle = sorted(ratios)[len(ratios) // 2] if len(ratios) >= 5 else 0.0
            steady = middle and max(abs(r - middle) for r in ratios) < 0.005 * abs(middle)
            if steady and max(map(abs, expected)) > 1.02 * min(map(abs, expected)):
                found.setdefault(name, middle)
    right = found.get("")
    if right is not None and right < 0:
        return [_divergence("the KL that is handed over is the negative of that of the codes: it is pushed up instead of down")]
    if right is not None or "twice" in found:
        fixed = [r["network"] for r in seen.more.get("draws") or () if r and not r["draws"]]
        means = [c.codes[0] for c in seen.calls if c.codes is not None and not c.sampling]
        fixed += [n.name for n in seen.networks if n.trained and _given_means(seen.in_use(n), means)]
        if fixed:
            return [
                Inspection(
                    "noise_not_used",
                    "sick",
                    f"{fixed[0]} uses the means of the codes, without noise, so the KL says nothing about what is decoded",
                    "decode mean + deviation * torch.randn_like(mean) in training",
                )
            ]
    if not any(g.latent for g in seen.graphs.values()) and seen.graphs:
        return []
    if right is None and "twice" not in found and found:
        return [_divergence(f"the KL that is handed over {next(iter(found))}")]
    halved = {g.halved for g in seen.graphs.values() if g.halved is not None}
    if (right is not None and halved == {False}) or (right is None and "twice" in found and halved == {True}):
        return [
            Inspection(
                "deviation_formula",
                "sick",
                "the KL takes the encoder's second output for a log-variance, and the noise of the codes for a log-deviation"
                if right is not None
                else "the KL takes the encoder's second output for a log-deviation, and the noise of the codes for a log-variance",
                "for a log-variance v use deviation = exp(0.5 * v) and KL = 0.5 (mean^2 + exp(v) - 1 - v)",
            )
        ]
    return []


def _given_means(calls: list[Call], means: list[Tensor]) -> bool:
    """True if a network was called with means of codes as they are."""
    given = [c.arguments[0].values for c in calls if c.arguments and c.codes is None]
    exact = [
        any(m.shape[1:] == x.shape[1:] and bool((m[: len(x)] == x[: len(m)]).all()) for m in means)
        for x in given
        if x.ndim == 2 and x.is_floating_point()
    ]
    return len(exact) >= 4 and all(exact)


def _divergence(message: str) -> Inspection:
    return Inspection("kl_sign", "sick", message, "use 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(1).mean()")


FORMULAS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "": lambda m, v: (m.square() + v.exp() - 1 - v).sum(),
    "twice": lambda m, v: (m.square() + (2 * v).exp() - 1 - 2 * v).sum(),
    "holds the means alone, not the variances: 0.5 mean^2": lambda m, v: m.square().sum(),
    "lacks the exponential: exp(logvar) became logvar": lambda m, v: (m.square() - 1).sum(),
    "lacks the logarithm: 0.5 (mean^2 + variance - 1)": lambda m, v: (m.square() + v.exp() - 1).sum(),
    "lacks the square of the mean": lambda m, v: (m + v.exp() - 1 - v).sum(),
    "holds the variances alone, not the means": lambda m, v: (v.exp() - 1 - v).sum(),
    "has the wrong sign before the log-variance": lambda m, v: (m.square() + v.exp() - 1 + v).sum(),
    "has the wrong sign before the mean": lambda m, v: (v.exp() - 1 - v - m.square()).sum(),
    "takes the mean for the log-variance and the log-variance for the mean": lambda m, v: (v.square() + m.exp() - 1 - m).sum(),
    "takes the log-variance for the variance": lambda m, v: (m.square() + v - 1 - v.abs().clamp_min(1e-9).log()).sum(),
}


def reductions(seen: Observed) -> list[Inspection]:
    """Find a codebook whose errors are averaged beside an error that is summed over all numbers."""
    for name, graph in seen.graphs.items():
        summed = [c for c in graph.criteria if c.reduction == "sum"]
        averaged = [c for c in graph.criteria if c.reduction == "mean" and c.operation == "MseLoss"]
        codes = {c.shape for c in averaged if c.shape} - {c.shape for c in summed}
        if summed and len(averaged) > 1 and codes and graph.operations & {"Embedding", "Index", "IndexSelect"}:
            numbers = math.prod(max(codes, key=math.prod))
            return [
                Inspection(
                    "reduction_mismatch",
                    "suspect",
                    f"{name} sums one error over all numbers and averages those of the codebook over {numbers}, so they hardly count",
                    "use the same reduction for all terms: sum each over a sample, or average each",
                )
            ]
    return []


def left_out(seen: Observed) -> list[Inspection]:
    """Find a KL divergence that is computed and logged, and that no backward pass goes through."""
    drawn = any(g.latent and g.passed and not g.waiting for g in seen.graphs.values())
    for name, graph in seen.graphs.items():
        kl = mapping((name,), {}).get(name) == "kl/raw" or name in AS_KL
        if drawn and kl and name in seen.values and graph.waiting and not graph.passed:
            return [
                Inspection(
                    "kl_weight_stays_zero",
                    "sick",
                    f"{name} is computed, but no backward pass goes through it: nothing brings the codes to the prior",
                    f"add {name} to the loss before its backward pass",
                )
            ]
    return []


INSPECTIONS: tuple[Inspect, ...] = (
    criteria, logarithms, outside_range, broadcast, penalties, not_finite, layouts, latents, divergences, left_out, reductions
)  # fmt: skip

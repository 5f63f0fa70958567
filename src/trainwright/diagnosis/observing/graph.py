"""Reading of a loss's autograd graph: parameters it reaches, operations on the way, shapes that were broadcast.

The graph keeps its nodes, edges and shapes after ``backward()``; only the saved tensors are freed. Nothing here is computed or changed.
"""

import itertools
import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

MOST_NODES = 50_000
VIEWS = (
    "View", "Reshape", "UnsafeView", "Squeeze", "Unsqueeze", "Select", "Slice", "Expand", "Alias", "Clone", "ToCopy",
    "Transpose", "Permute", "Flatten", "Unbind", "Split", "SplitWithSizes", "T", "Contiguous",
)  # fmt: skip
POINTWISE = ("Sub", "Add", "Mul", "Div")
RELAYING = ("View", "Reshape", "UnsafeView", "ReshapeAlias")
PASSED = ("Log", "Log2", "Log10", "Add", "Sub", "Rsub", "Mul", "Neg", "Clamp", "ClampMin", "ClampMax")
LAYERS = (
    "Convolution", "MkldnnConvolution", "CudnnConvolution", "Addmm", "Mm", "Bmm", "Embedding", "NativeLayerNorm",
    "NativeGroupNorm", "NativeBatchNorm", "CudnnBatchNorm", "CudnnRnn", "ScaledDotProductEfficientAttention",
)  # fmt: skip
CRITERIA = (
    "BinaryCrossEntropyWithLogits", "BinaryCrossEntropy", "MseLoss", "L1Loss", "SmoothL1Loss", "HuberLoss",
    "NllLoss", "NllLoss2D", "NllLossNd", "SoftMarginLoss", "KlDiv",
)  # fmt: skip


FIXED = "a parameter"  # in place of the noise of a posterior
REDUCTIONS = {0: "none", 1: "mean", 2: "sum"}  # as PyTorch's criteria number them
SAVED = ("_saved_self", "_saved_result", "_saved_target", "_saved_other")
MOST_TERMS = 8  # nodes above the first layers that are asked whether a backward pass went through them


@dataclass(frozen=True)
class Criterion:
    """Criterion inside a loss: its operation, what it is applied to, the shape of that, and its reduction (empty if unknown)."""

    operation: str
    applied_to: str
    shape: tuple[int, ...]
    reduction: str = ""
    beneath: str = ""  # the operation under the one that it is applied to


@dataclass(frozen=True)
class Relaid:
    """View that changes the order of axes without moving their elements.

    ``mixes`` is ``batch`` if a row of the output holds elements of several rows of the input, else ``axes``.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    mixes: Literal["batch", "axes"]


@dataclass(frozen=True)
class LossGraph:
    """Summary of one loss's graph.

    Attributes:
        parameters: ids of the leaves that require a gradient.
        leaves: the same leaves by id.
        operations: names of all operations, without ``Backward0``.
        criteria: criteria with the operation that feeds each of them, views ignored.
        double_backward: True if a gradient was differentiated, as for a gradient penalty.
        broadcast: shapes (input, output) of an elementwise operation that turned (n, 1) and (n,) into (n, n); None if there is none.
        batch_norm_twice: True if a batch normalisation was differentiated twice.
        batch: size of the first dimension of the largest activation, 0 if unknown.
        head: operations between the loss and the first layers with parameters.
        relaid: a view that scrambles axes; None if there is none.
        logged: operations whose results a logarithm is taken of, sums and clamping ignored.
        latent: operations that produced mean and log-variance where noise is drawn as mean + deviation * noise; None elsewhere, and
            an empty name for a deviation that is not the exponential of anything.
        halved: whether what the deviation of a code is the exponential of was multiplied (by a half, as for log-variances) before.
        passed: ids of parameters below terms of the loss that a backward pass has gone through.
        waiting: the same for terms that no backward pass has gone through.
        softmaxes: axis, counted from 0, and shape of each softmax.
    """

    parameters: frozenset[int]
    leaves: dict[int, Tensor] = field(repr=False)
    operations: frozenset[str]
    criteria: tuple[Criterion, ...]
    double_backward: bool
    broadcast: tuple[tuple[int, ...], tuple[int, ...]] | None
    batch_norm_twice: bool
    batch: int
    head: frozenset[str] = frozenset()
    relaid: Relaid | None = None
    latent: tuple[str, str] | None = None
    logged: frozenset[str] = frozenset()
    halved: bool | None = None
    passed: frozenset[int] = frozenset()
    waiting: frozenset[int] = frozenset()
    softmaxes: frozenset[tuple[int, tuple[int, ...]]] = frozenset()


def read_graph(loss: Tensor) -> LossGraph | None:
    """Return the summary of a loss's graph; None for a tensor without one."""
    if loss.grad_fn is None:
        return None
    leaves: dict[int, Tensor] = {}
    operations: set[str] = set()
    criteria: list[Criterion] = []
    logged: set[str] = set()
    softmaxes: set[tuple[int, tuple[int, ...]]] = set()
    broadcast = relaid = latent = halved = None
    batch = 0
    for node in _nodes(loss.grad_fn):
        variable = getattr(node, "variable", None)
        if variable is not None:
            leaves[id(variable)] = variable
            continue
        name = operation(node)
        operations.add(name)
        if name in ("Softmax", "LogSoftmax") and (shape := _shape(node)):
            axis = int(node._saved_dim)  # of 64 bits without a sign
            softmaxes.add(((axis if axis < 2**63 else axis - 2**64) % len(shape), shape))
        if name in CRITERIA:
            below = _under_views(node)
            reduction = REDUCTIONS.get(getattr(node, "_saved_reduction", -1), "")
            under = _behind(below) if below is not None else None
            beneath = operation(under) if under is not None else ""
            criteria.append(
                Criterion(name, operation(below) if below is not None else "", _shape(below), reduction, beneath)
            )
        if broadcast is None and name in (*POINTWISE, "Expand"):
            broadcast = _broadcast(node)
        if name in ("Convolution", "Addmm", "Mm"):
            shape = _shape(node)
            batch = max(batch, shape[0] if shape else 0)
        if relaid is None and name in RELAYING:
            relaid = _relaid(node)
        if name in ("Log", "Log2", "Log10"):
            below = node
            while below is not None and operation(below) in PASSED:
                below = _behind(below)
            logged.add(operation(below) if below is not None else "")
        if latent is None and name == "Add":
            latent, halved = _latent(node)
    head, repeated, terms = _head(loss.grad_fn)
    broadcast = broadcast or repeated
    passed, waiting = _parts(terms)
    twice = any("BackwardBackward" in o or o.endswith("Backward") for o in operations)
    return LossGraph(
        frozenset(leaves),
        leaves,
        frozenset(operations),
        tuple(criteria),
        twice,
        broadcast,
        any(
            o.startswith(("NativeBatchNormBackward", "CudnnBatchNormBackward", "BatchNormBackward")) for o in operations
        ),
        batch,
        head,
        relaid,
        latent,
        frozenset(logged),
        halved,
        passed,
        waiting,
        frozenset(softmaxes),
    )


def operation(node: Any) -> str:
    """Return the name of a node's operation: ``Sigmoid`` for ``SigmoidBackward0``."""
    name = str(node.name()).rpartition("::")[2]
    for ending in ("Backward0", "Backward1", "Backward2", "Backward3", "Backward4"):
        if name.endswith(ending):
            return name.removesuffix(ending)
    return name


def last_operation(node: Any) -> str:
    """Return the name of the last operation that computed something, views ignored."""
    below = node if operation(node) not in VIEWS else _under_views(node)
    return operation(below if below is not None else node)


def _nodes(root: Any) -> Iterator[Any]:
    seen: set[Any] = set()
    stack = [root]
    while stack and len(seen) < MOST_NODES:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        stack.extend(parent for parent, _ in node.next_functions)


def _under_views(node: Any) -> Any:
    """Return the first operation below a node that is not a view."""
    below = next((parent for parent, _ in node.next_functions if parent is not None), None)
    while below is not None and operation(below) in VIEWS:
        below = next((parent for parent, _ in below.next_functions if parent is not None), None)
    return below


def _shape(node: Any) -> tuple[int, ...]:
    """Return the shape of the tensor that a node's operation produced."""
    metadata = getattr(node, "_input_metadata", None)
    return tuple(int(n) for n in metadata[0].shape) if metadata else ()


def _head(root: Any) -> tuple[frozenset[str], tuple[tuple[int, ...], tuple[int, ...]] | None, list[Any]]:
    """Return the operations from the loss down to the first layers, shapes of one row that was compared with many, and the nodes."""
    found: set[str] = set()
    nodes: list[Any] = []
    repeated = None
    seen: set[Any] = set()
    stack = [root]
    while stack and len(seen) < 2000:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        name = operation(node)
        parents = [parent for parent, _ in node.next_functions if parent is not None]
        if name in LAYERS or any(isinstance(getattr(p, "variable", None), nn.Parameter) for p in parents):
            continue
        found.add(name)
        nodes.append(node)
        stack.extend(parents)
        if repeated is None and name in ("Sub", "Expand"):
            repeated = _repeated(node)
    return frozenset(found), repeated, nodes


def _parts(nodes: list[Any]) -> tuple[frozenset[int], frozenset[int]]:
    """Return the parameters below nodes whose saved tensors are freed, and below those that still hold them.

    A backward pass frees them unless it is told to retain the graph. Only nodes above the first layers are asked, since activation
    checkpointing would compute those of layers again.
    """
    passed: set[int] = set()
    waiting: set[int] = set()
    asked = 0
    for node in nodes:
        state = _freed(node) if asked < MOST_TERMS else None
        if state is not None:
            asked += 1
            below = {id(v) for n in _nodes(node) if (v := getattr(n, "variable", None)) is not None}
            (passed if state else waiting).update(below)
    return frozenset(passed), frozenset(waiting)


def _freed(node: Any) -> bool | None:
    """Return whether a node's saved tensors have been freed; None if it saves none."""
    for name in SAVED:
        try:
            if isinstance(getattr(node, name, None), Tensor):
                return False
        except RuntimeError:
            return True
    return None


def _repeated(node: Any) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return (input, output) if a difference or an expansion compares one row of a learned output with many rows of data."""
    out = _shape(node)
    learned = [_shape(parent) for parent, _ in node.next_functions if parent is not None]
    if len(learned) != 1 or len(out) < 2 or out[0] < 2:
        return None
    (shape,) = learned
    if shape == (1, *out[1:]) and math.prod(out[1:]) > 1:
        return shape, out
    if len(shape) < len(out) and shape == out[len(out) - len(shape) :] and len(shape) > 1 and out[0] == shape[0]:
        return shape, out  # (n, ...) against (n, 1, ...)
    if len(out) == 4 and out[0] == out[1] and shape == (out[0], 1, *out[2:]):
        return shape, out  # images (n, 1, H, W) against masks (n, H, W)
    if len(out) > 2 and out[0] == out[1] and 1 in shape[:2]:
        return None  # distances of all pairs of a batch
    same = (
        len(shape) == len(out) > 2 and shape[0] == out[0] and all(a in (1, b) for a, b in zip(shape, out, strict=True))
    )
    return (shape, out) if same and shape != out else None


def _relaid(node: Any) -> Relaid | None:
    """Return what a view does to axes of different sizes, if it exchanges them without a transposition."""
    parent, place = node.next_functions[0]
    metadata = getattr(parent, "_input_metadata", None)
    if parent is None or not metadata or place >= len(metadata):
        return None
    before, after = tuple(int(n) for n in metadata[place].shape), _shape(node)
    return relaid(before, after)


def relaid(before: tuple[int, ...], after: tuple[int, ...]) -> Relaid | None:
    """Return how a view from one shape to another scrambles axes; None if splitting and merging neighbouring axes explains it.

    A view of (8, 3, 16) as (8, 16, 3) scrambles; one of (8, 4, 16) as (8, 16, 4) could be a split of 16 into 4 x 4, and is let pass.
    """
    if len(before) < 2 or len(after) < 2 or before == after or 0 in before:
        return None
    if len(before) == 2 and before[0] != before[1] and after == before[::-1] and min(before) > 1:
        return Relaid(before, after, "batch")
    if len(before) > 2 and before[0] != before[1] and min(before[:2]) > 1:
        swapped = (before[1], before[0], *before[2:])
        folded = (before[1], before[0] * before[2], *before[3:])
        if after in (swapped, folded):
            return Relaid(before, after, "batch")
    old, new = list(itertools.accumulate(before, operator.mul)), list(itertools.accumulate(after, operator.mul))
    crossed = any(max(a, b) % min(a, b) for a in old for b in new)
    if not crossed:
        return None
    rows = before[0], after[0]
    return Relaid(before, after, "batch" if max(rows) % min(rows) else "axes")


def _latent(node: Any) -> tuple[tuple[str, str] | None, bool | None]:
    """Return the operations behind mean and log-variance, if a node adds noise that was scaled by a learned deviation.

    And whether something was multiplied or divided before the exponential.
    """
    parents = [parent for parent, _ in node.next_functions]
    if len(parents) != 2 or None in parents:
        return None, None
    for mean, scaled in (parents, parents[::-1]):
        if operation(scaled) != "Mul":
            continue
        factors = [parent for parent, _ in scaled.next_functions]
        learned = [f for f in factors if f is not None and getattr(f, "variable", None) is None]
        if len(learned) < sum(f is not None for f in factors):
            return (("", FIXED) if learned and operation(learned[0]) in ("Exp", "Sqrt") else None), None
        if len(factors) != 2 or len(learned) != 1 or operation(learned[0]) not in ("Exp", "Sqrt", "Softplus"):
            continue
        deviation: Any = learned[0]
        below, halved = _behind(deviation), False
        while below is not None and operation(below) in ("Mul", "Div", "Exp"):
            halved = True
            below = _behind(below)
        source = mean if operation(mean) not in VIEWS else _under_views(mean)
        by_exp = operation(deviation) == "Exp"
        names = (
            operation(source) if source is not None else "",
            operation(below) if below is not None and by_exp else "",
        )
        return names, halved if by_exp else None
    return None, None


def _behind(node: Any) -> Any:
    """Return the only operation below a node, views ignored; None if there are several."""
    parents = [parent for parent, _ in node.next_functions if parent is not None]
    if len(parents) != 1:
        return None
    return parents[0] if operation(parents[0]) not in VIEWS else _under_views(parents[0])


def _broadcast(node: Any) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return (input, output) if an operand of (n, 1) or (n,) became (n, n)."""
    out = _shape(node)
    if len(out) != 2 or out[0] != out[1] or out[0] < 2:
        return None
    for parent, _ in node.next_functions:
        shape = _shape(parent) if parent is not None else ()
        if shape in ((out[0], 1), (out[0],)):
            below = _under_views(node)
            return (shape, out) if below is not None else None
    return None

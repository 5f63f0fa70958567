"""Reading of a loss's autograd graph: parameters it reaches, operations on the way, shapes that were broadcast.

The graph keeps its nodes, edges and shapes after ``backward()``; only the saved tensors are freed. Nothing here is computed or changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

MOST_NODES = 50_000
VIEWS = (
    "View", "Reshape", "UnsafeView", "Squeeze", "Unsqueeze", "Select", "Slice", "Expand", "Alias", "Clone", "ToCopy",
    "Transpose", "Permute", "Flatten", "Unbind", "Split", "SplitWithSizes", "T", "Contiguous",
)  # fmt: skip
POINTWISE = ("Sub", "Add", "Mul", "Div")
CRITERIA = (
    "BinaryCrossEntropyWithLogits", "BinaryCrossEntropy", "MseLoss", "L1Loss", "SmoothL1Loss", "HuberLoss",
    "NllLoss", "NllLoss2D", "NllLossNd", "SoftMarginLoss", "KlDiv",
)  # fmt: skip


@dataclass(frozen=True)
class Criterion:
    """Criterion inside a loss: its operation, what it is applied to, and the shape of that."""

    operation: str
    applied_to: str
    shape: tuple[int, ...]


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
    """

    parameters: frozenset[int]
    leaves: dict[int, Tensor] = field(repr=False)
    operations: frozenset[str]
    criteria: tuple[Criterion, ...]
    double_backward: bool
    broadcast: tuple[tuple[int, ...], tuple[int, ...]] | None
    batch_norm_twice: bool
    batch: int


def read_graph(loss: Tensor) -> LossGraph | None:
    """Return the summary of a loss's graph; None for a tensor without one."""
    if loss.grad_fn is None:
        return None
    leaves: dict[int, Tensor] = {}
    operations: set[str] = set()
    criteria: list[Criterion] = []
    broadcast = None
    batch = 0
    for node in _nodes(loss.grad_fn):
        variable = getattr(node, "variable", None)
        if variable is not None:
            leaves[id(variable)] = variable
            continue
        name = operation(node)
        operations.add(name)
        if name in CRITERIA:
            below = _under_views(node)
            criteria.append(Criterion(name, operation(below) if below is not None else "", _shape(below)))
        if broadcast is None and name in (*POINTWISE, "Expand"):
            broadcast = _broadcast(node)
        if name in ("Convolution", "Addmm", "Mm"):
            shape = _shape(node)
            batch = max(batch, shape[0] if shape else 0)
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
    )


def operation(node: Any) -> str:
    """Return the name of a node's operation: ``Sigmoid`` for ``SigmoidBackward0``."""
    name = str(node.name()).rpartition("::")[2]
    for ending in ("Backward0", "Backward1", "Backward2", "Backward3", "Backward4"):
        if name.endswith(ending):
            return name.removesuffix(ending)
    return name


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

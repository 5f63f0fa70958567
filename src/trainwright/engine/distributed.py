"""Several processes: averages across them, and nothing at all when there is one.

Gradients are averaged once per update, after the whole backward. Unlike a wrapper with hooks this is indifferent to double
backward, to several forwards before a backward and to parts that got no gradient, which adversarial training has.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def mean_gradients(fabric: "Fabric", parameters: Sequence[nn.Parameter]) -> None:
    """Replaces every gradient by its mean over the processes, in one message."""
    if fabric.world_size > 1:
        _mean_in_place(fabric, [p.grad for p in parameters if p.grad is not None])


def mean_buffers(fabric: "Fabric", networks: Sequence[nn.Module]) -> None:
    """Replaces floating buffers (BatchNorm's statistics) by their mean, so that every process holds the same network."""
    if fabric.world_size > 1:
        _mean_in_place(fabric, [b for n in networks for b in n.buffers() if b.is_floating_point()])


def mean(fabric: "Fabric", values: Tensor) -> Tensor:
    """The mean of a tensor over the processes."""
    return fabric.all_reduce(values, reduce_op="mean") if fabric.world_size > 1 else values  # type: ignore[return-value]


def any_true(fabric: "Fabric", flag: bool) -> bool:
    """Whether any process says yes; all get the same answer at the same step."""
    if fabric.world_size == 1:
        return flag
    return bool(mean(fabric, torch.tensor(float(flag))) > 0)


def same_everywhere(fabric: "Fabric", networks: Sequence[nn.Module]) -> None:
    """Gives every process the first one's weights and buffers."""
    if fabric.world_size > 1:
        with torch.no_grad():
            for network in networks:
                for tensor in (*network.parameters(), *network.buffers()):
                    tensor.copy_(fabric.broadcast(tensor.detach(), src=0))


@torch.no_grad()
def _mean_in_place(fabric: "Fabric", tensors: list[Tensor]) -> None:
    if not tensors:
        return
    flat = torch.cat([t.reshape(-1) for t in tensors])
    flat = fabric.all_reduce(flat, reduce_op="mean")  # type: ignore[assignment]
    for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view(tensor.shape))

"""Device, precision, threads and processes, through Lightning Fabric; averages across processes, and nothing when there is one.

Gradients are averaged once per update, after the whole backward. Unlike a wrapper with hooks this is indifferent to double
backward, to several forwards before a backward and to parts that got no gradient, which adversarial training has.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trainwright.engine.config import TrainConfig
from trainwright.errors import UserError
from trainwright.shims import keep_freed_memory, without_torchmetrics

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def make_fabric(settings: TrainConfig) -> "Fabric":
    """Return a launched Fabric: with ``devices`` above 1 the other processes start here and run the same command.

    Raises:
        UserError: the machine has no such accelerator or not so many devices.
    """
    _limit_threads(settings)
    keep_freed_memory()
    with without_torchmetrics():
        from lightning_fabric import Fabric
    try:
        fabric = Fabric(
            accelerator=settings.accelerator,
            devices=settings.devices,
            strategy="ddp" if settings.devices > 1 else "auto",
            precision=settings.precision,
        )
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"train.accelerator={settings.accelerator} with train.devices={settings.devices} cannot be used here: {reason}"
        ) from None
    if settings.devices > 1:
        fabric.launch()
    return fabric


class SingleProcess:
    """The part of Fabric that an update uses, for one process whose results are not kept: importing Fabric takes seconds."""

    world_size = 1

    def __init__(self, settings: TrainConfig) -> None:
        _limit_threads(settings)
        keep_freed_memory()
        self.device = torch.device("cpu")
        if settings.accelerator in ("auto", "cuda") and torch.cuda.is_available():
            self.device = torch.device("cuda")

    def to_device(self, what: Any) -> Any:
        """A tensor or network on the device."""
        return what.to(self.device)

    def backward(self, loss: Tensor, inputs: Sequence[Tensor]) -> None:
        """Gradients of ``inputs``."""
        loss.backward(inputs=inputs)


def _limit_threads(settings: TrainConfig) -> None:
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    elif settings.devices > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // settings.devices))


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
    """Return true if any process has the flag set; all get the same answer at the same step."""
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

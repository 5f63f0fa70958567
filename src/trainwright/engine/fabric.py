"""Device, precision, processes and threads, through Lightning Fabric."""

import ctypes
import importlib.util
import os
import platform
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainwright.engine.config import TrainConfig
from trainwright.errors import UserError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def make_fabric(settings: TrainConfig) -> "Fabric":
    """A launched Fabric: with ``devices`` above 1 the other processes start here and run the same command.

    Raises:
        UserError: the machine has no such accelerator or not so many devices.
    """
    _limit_threads(settings)
    keep_freed_memory()
    try:
        fabric = _imported()(
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


def _imported() -> "type[Fabric]":
    """Fabric asks which version torchmetrics is by importing it, and that takes longer than all the rest of a start (it imports SciPy's
    statistics and a text model library). With an empty module in its place the version is looked up instead.
    """
    name = "torchmetrics"
    empty = name not in sys.modules and importlib.util.find_spec(name) is not None
    if empty:
        sys.modules[name] = ModuleType(name)
    try:
        from lightning_fabric import Fabric
    finally:
        if empty:
            del sys.modules[name]
    return Fabric


class SingleProcess:
    """What an update asks of Fabric, for one process whose work nobody keeps: importing Fabric itself takes seconds."""

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


def keep_freed_memory() -> None:
    """Lets the C library reuse large buffers instead of giving each back to the system.

    Activations of a step are tens of megabytes; by default glibc maps and zeroes fresh pages for each, at every step. Measured
    by ``benchmarks/speed.py``. On other C libraries this does nothing.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(M_MMAP_MAX, 0)
    library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    library.mallopt(M_TOP_PAD, 64 << 20)

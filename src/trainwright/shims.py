"""Work-arounds for the libraries that we use, each with the condition under which it can go.

The command line imports this file before anything else, so it imports only the standard library.
"""

import contextlib
import ctypes
import importlib
import importlib.util
import platform
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"
METRICS = "torchmetrics"
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h


class CompilerStandIn(ModuleType):
    """Stand-in for ``torch._dynamo``; replaced by the real module as soon as anything needs more than it has.

    Importing the compiler takes as long as the rest of PyTorch. Optimizers, Fabric and diffusers import it only to exclude functions,
    to break a graph and to recognise a compiled network. It can go when none of them imports it at start: torch 2.13, Fabric 2.6.6 and
    diffusers 0.42 do.
    """

    class OptimizedModule:
        """A compiled network: there is none."""

    @staticmethod
    def disable(fn: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> Any:
        """Return ``fn`` itself, or the identity where this is called as a decorator."""
        return (lambda function: function) if fn is None else fn

    @staticmethod
    def allow_in_graph(fn: Any) -> Any:
        """Return ``fn`` itself."""
        return fn

    @staticmethod
    def graph_break(*args: Any, **kwargs: Any) -> None:
        """Do nothing: there is no graph."""

    def __getattr__(self, name: str) -> Any:
        # `from torch._dynamo import x` looks for __path__ too, in the name of the importing module; only a submodule's import needs it
        submodule = name == "__path__" and "importlib" in sys._getframe(1).f_code.co_filename
        if name.startswith("__") and not submodule:
            raise AttributeError(name)
        return getattr(_real_compiler(), name)


def _real_compiler() -> ModuleType:
    if isinstance(sys.modules.get(COMPILER), CompilerStandIn):
        del sys.modules[COMPILER]
    return importlib.import_module(COMPILER)


def leave_the_compiler_out() -> None:
    """Put the stand-in in place of PyTorch's compiler; for our own processes, before they import torch."""
    if COMPILER not in sys.modules:
        sys.modules[COMPILER] = CompilerStandIn(COMPILER)


@contextlib.contextmanager
def without_torchmetrics() -> Iterator[None]:
    """Hide torchmetrics while Fabric is imported.

    Fabric compares torchmetrics' version by importing it, which takes longer than the rest of a start. With an empty module in its
    place the version is read from the package's metadata. It can go when ``lightning_fabric.utilities.imports`` does so by itself:
    Fabric 2.6.6 does not.
    """
    empty = METRICS not in sys.modules and importlib.util.find_spec(METRICS) is not None
    if empty:
        sys.modules[METRICS] = ModuleType(METRICS)
    try:
        yield
    finally:
        if empty:
            del sys.modules[METRICS]


def keep_freed_memory() -> None:
    """Let the C library reuse large buffers instead of returning each to the system.

    Activations of a step are tens of megabytes; by default glibc maps and zeroes fresh pages for each, at every step. Measured
    by ``benchmarks/speed.py``. On other C libraries this does nothing. It can go when PyTorch keeps freed CPU memory, as its CUDA
    allocator does: torch 2.13 does not.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(M_MMAP_MAX, 0)
    library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    library.mallopt(M_TOP_PAD, 64 << 20)

"""What a start leaves out: PyTorch's compiler, which optimizers, Fabric and diffusers import and nothing here uses.

Importing ``torch._dynamo`` takes as long as importing the rest of PyTorch. They ask it to leave functions alone, to break a graph, and
what a compiled network is; until something asks for more than that, a module that knows these answers stands in its place.
"""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

NAME = "torch._dynamo"


class StandIn(ModuleType):
    """Answers for what is never compiled; when asked for anything else, the real module takes its place."""

    class OptimizedModule:
        """A compiled network: there is none."""

    @staticmethod
    def disable(fn: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> Any:
        """``fn`` itself, or what gives it back where this is called as a decorator."""
        return (lambda function: function) if fn is None else fn

    @staticmethod
    def allow_in_graph(fn: Any) -> Any:
        """``fn`` itself."""
        return fn

    @staticmethod
    def graph_break(*args: Any, **kwargs: Any) -> None:
        """Nothing: there is no graph."""

    def __getattr__(self, name: str) -> Any:
        # `from torch._dynamo import x` looks for __path__ too, in the name of the importing module; only a submodule's import needs it
        submodule = name == "__path__" and "importlib" in sys._getframe(1).f_code.co_filename
        if name.startswith("__") and not submodule:
            raise AttributeError(name)
        return getattr(_real(), name)


def _real() -> ModuleType:
    if isinstance(sys.modules.get(NAME), StandIn):
        del sys.modules[NAME]
    return importlib.import_module(NAME)


def leave_the_compiler_out() -> None:
    """For a process that is our own, before it imports torch."""
    if NAME not in sys.modules:
        sys.modules[NAME] = StandIn(NAME)

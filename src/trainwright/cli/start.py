"""What a start leaves out: PyTorch's compiler, which every optimizer imports and nothing here uses.

``torch.optim`` asks ``torch._dynamo`` to leave some functions alone and to break its graph; importing it takes as long as importing
the rest of PyTorch. Until something asks for more than those two, an empty module stands in its place.
"""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

NAME = "torch._dynamo"


class StandIn(ModuleType):
    """Answers what an optimizer asks; for anything else the real module takes its place."""

    @staticmethod
    def disable(fn: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> Any:
        """``fn`` itself: nothing is compiled."""
        return _real().disable(fn, *args, **kwargs) if fn is None else fn

    @staticmethod
    def graph_break(*args: Any, **kwargs: Any) -> None:
        """Nothing: there is no graph."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # what the import system and others look for in any module
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

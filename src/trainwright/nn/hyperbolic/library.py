"""geoopt, imported without TorchScript.

Its functions are scripted, and TorchScript runs the first calls of a function in another way than the later ones, which rounds
differently: a run that is resumed in a new process would not be the uninterrupted one bit for bit. As plain functions they are the same
from the first call on. Every module of the package takes geoopt from here.
"""

from typing import Any

import torch


def _import() -> Any:
    scripted = torch.jit.script
    torch.jit.script = lambda function, *_, **__: function  # type: ignore[assignment]
    try:
        import geoopt
    finally:
        torch.jit.script = scripted
    return geoopt


geoopt = _import()

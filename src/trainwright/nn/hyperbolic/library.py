"""Import of geoopt without TorchScript.

Its functions are scripted. TorchScript runs the first calls of a function differently from later calls, with different rounding. So a
run that resumes in a new process would not equal the uninterrupted one bit for bit. Plain functions give the same results from the
first call on. Every module of the package imports geoopt from here.
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

"""Trainwright trains generative models on small data and keeps the training from going wrong."""

import importlib
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``trainwright.watch`` without importing PyTorch for those who do not use it."""
    if name == "watch":
        return importlib.import_module("trainwright.diagnosis.watch").watch
    raise AttributeError(f"module 'trainwright' has no attribute {name!r}")

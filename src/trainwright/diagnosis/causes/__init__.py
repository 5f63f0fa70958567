"""Causes by theme, a list in each file; whatever lies in this folder is registered."""

import importlib
import pkgutil
from functools import cache

from trainwright.diagnosis.definitions import Cause


@cache
def causes() -> dict[str, Cause]:
    """Every cause by name."""
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    return {cause.name: cause for module in modules for cause in module.CAUSES}

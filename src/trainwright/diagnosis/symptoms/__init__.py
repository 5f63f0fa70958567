"""One file for each symptom; whatever lies in this folder is registered. Other packages add theirs by the entry point below."""

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points

from trainwright.diagnosis.definitions import Symptom

GROUP = "trainwright.symptoms"


@cache
def symptoms() -> dict[str, Symptom]:
    """Every symptom by name."""
    found = [importlib.import_module(f"{__name__}.{m.name}").SYMPTOM for m in pkgutil.iter_modules(__path__)]
    found += [point.load() for point in entry_points(group=GROUP)]
    return {symptom.name: symptom for symptom in found}

"""Symptoms that several families share, one file each; every file of this folder is registered.

A symptom that only one family has stands in the ``diagnostics.py`` of that family. Other packages register theirs by the
entry point ``trainwright.symptoms``.
"""

from trainwright import plugins
from trainwright.diagnosis.definitions import Symptom


def symptoms() -> dict[str, Symptom]:
    """Every symptom by name: shared ones, those of families and those of other packages."""
    return plugins.symptoms()

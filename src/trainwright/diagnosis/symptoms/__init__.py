"""Symptoms that several families share, one file each; every file of this folder is registered.

A symptom of a single family is declared in the ``diagnostics.py`` of that family. Other packages register symptoms by the
entry point ``trainwright.symptoms``.
"""

from trainwright import plugins
from trainwright.diagnosis.definitions import Symptom


def symptoms(of_families: bool = True) -> dict[str, Symptom]:
    """Return every symptom by name: shared ones, those of other packages, and those of families unless they are left out."""
    return plugins.symptoms(of_families)

"""Causes that several families share, by theme: a list in each file; every file of this folder is registered.

A cause that only one family has stands in the ``diagnostics.py`` of that family. Other packages register theirs by the entry
point ``trainwright.causes``.
"""

from trainwright import plugins
from trainwright.diagnosis.definitions import Cause


def causes() -> dict[str, Cause]:
    """Every cause by name: shared ones, those of families and those of other packages."""
    return plugins.causes()

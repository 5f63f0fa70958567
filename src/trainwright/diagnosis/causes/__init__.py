"""Causes that several families share: one list per theme and file; every file of this folder is registered.

A cause of a single family is declared in the ``diagnostics.py`` of that family. Other packages register causes by the entry
point ``trainwright.causes``.
"""

from trainwright import plugins
from trainwright.diagnosis.definitions import Cause


def causes(of_families: bool = True) -> dict[str, Cause]:
    """Return every cause by name: shared ones, those of other packages, and those of families unless they are left out."""
    return plugins.causes(of_families)

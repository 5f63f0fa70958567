"""Causes that several families share: one list per theme and file; every file of this folder is registered.

A cause of a single family is declared in the ``diagnostics.py`` of that family. Other packages register causes by the entry
point ``trainwright.causes``.
"""

from trainwright import plugins
from trainwright.diagnosis.definitions import Cause


def causes() -> dict[str, Cause]:
    """Return every cause by name: shared ones, those of families and those of other packages."""
    return plugins.causes()

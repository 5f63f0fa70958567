"""What the registry knows of a family before anything heavy is imported."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainwright.engine.charts import Panel
from trainwright.engine.config import RunConfig

if TYPE_CHECKING:
    from trainwright.engine.model import System


@dataclass(frozen=True)
class Part:
    """One part of how good a run of a family is, between 0 (nothing) and 1 (as real data).

    Attributes:
        signal: larger is better.
        ceiling: what real data score: a number, or a signal that says it.
    """

    signal: str
    ceiling: str | float = 1.0


@dataclass(frozen=True)
class Family:
    """A kind of model.

    Attributes:
        name: as in ``trainwright train NAME/recipe``; the recipes lie beside it in ``recipes/*.yaml``.
        summary: one line for ``--help`` and the docs.
        config: its recipe's schema.
        system: ``module:class`` of its :class:`~trainwright.engine.model.System`, imported when it is first needed; or
            ``module:function`` that returns the class for a config, if the family trains in stages.
        smoke: overrides that let any of its recipes train in seconds on real data; every contract is tested with them.
        panels: the curves that its report shows before those of every family.
        reading: ``module:function`` that reads a run's rows, for ``trainwright table``; see :mod:`trainwright.report.run_table`.
        trains_on: ``pictures`` if any folder of pictures will do as ``data``; else the word for what its recipes bring along.
        quality: what a run is judged by, beside alarms; see :mod:`trainwright.studies.quality`.
        package: where ``recipes/`` lies; by default ``trainwright.families.NAME``.
    """

    name: str
    summary: str
    config: type[RunConfig]
    system: str
    smoke: tuple[str, ...]
    panels: tuple[Panel, ...] = ()
    reading: str = ""
    trains_on: str = "pictures"
    quality: tuple[Part, ...] = ()
    package: str = ""

    def load(self, config: RunConfig) -> "type[System]":
        """Imports and returns the system class of a config (and with it PyTorch)."""
        found = _named(self.system)
        return found if isinstance(found, type) else found(config)

    def read(self) -> Callable[..., Any] | None:
        """Imports and returns the function that ``reading`` names, if any."""
        return _named(self.reading) if self.reading else None

    @property
    def home(self) -> str:
        """The package that holds the recipes."""
        return self.package or f"trainwright.families.{self.name}"


def _named(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)

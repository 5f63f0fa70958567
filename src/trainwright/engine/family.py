"""Declaration of a family, which can be read before PyTorch is imported."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainwright.engine.charts import Chart
from trainwright.engine.config import RunConfig

if TYPE_CHECKING:
    from trainwright.engine.model import GenerativeModel


@dataclass(frozen=True)
class QualityPart:
    """One part of the quality of a family's runs, between 0 (none) and 1 (as good as real data).

    Attributes:
        signal: larger is better.
        ceiling: the score of real data: a number, or the signal that holds it.
    """

    signal: str
    ceiling: str | float = 1.0


@dataclass(frozen=True)
class Family:
    """A kind of model.

    Attributes:
        name: as in ``trainwright train NAME/recipe``; the recipes are ``recipes/*.yaml`` in its package.
        summary: one line for ``--help`` and the docs.
        config: schema of its recipes.
        model: ``module:class`` of its :class:`~trainwright.engine.model.GenerativeModel`, imported when it is first needed; or
            ``module:function`` that returns the class for a config, if the family trains in stages.
        smoke: overrides with which any of its recipes trains in seconds on real data; contract tests use them.
        charts: the charts that its report shows before those of every family.
        read_run: ``module:function`` that reads a run's rows, for ``trainwright table``; see :mod:`trainwright.report.run_table`.
        trains_on: ``images`` if ``data`` may be any folder of images; else the word for the data of its recipes.
        quality: parts by which a run is judged in addition to alarms; see :mod:`trainwright.studies.quality`.
        package: the package that holds ``recipes/``; by default ``trainwright.families.NAME``.
    """

    name: str
    summary: str
    config: type[RunConfig]
    model: str
    smoke: tuple[str, ...]
    charts: tuple[Chart, ...] = ()
    read_run: str = ""
    trains_on: str = "images"
    quality: tuple[QualityPart, ...] = ()
    package: str = ""

    def load(self, config: RunConfig) -> "type[GenerativeModel]":
        """Import (and with it PyTorch) and return the model class of a config."""
        found = _named(self.model)
        return found if isinstance(found, type) else found(config)

    def read(self) -> Callable[..., Any] | None:
        """Import and return the function that ``read_run`` names, if any."""
        return _named(self.read_run) if self.read_run else None

    @property
    def home(self) -> str:
        """The package that holds the recipes."""
        return self.package or f"trainwright.families.{self.name}"


def _named(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)

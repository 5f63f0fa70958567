"""Declaration of a family: all that is known of it before its config and PyTorch are imported.

The doctor of any loop reads what families declare, so importing a declaration must stay cheap.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from trainwright.diagnosis.checks import Inspect
from trainwright.diagnosis.definitions import Cause, Symptom
from trainwright.engine.charts import Chart
from trainwright.plugins import named
from trainwright.runs.signals import Signal

if TYPE_CHECKING:
    from trainwright.engine.config import RunConfig
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
        config_class: ``module:class`` of its recipes' schema, imported when it is first needed.
        model: ``module:class`` of its :class:`~trainwright.engine.model.GenerativeModel`, imported when it is first needed; or
            ``module:function`` that returns the class for a config, if the family trains in stages.
        smoke: overrides with which any of its recipes trains in seconds on real data; contract tests use them.
        symptoms: those that no other family has.
        causes: those that no other family has.
        checks: preflight checks that no other family has; see :mod:`trainwright.diagnosis.checks`.
        signals: those that no other family has.
        charts: the charts that its report shows before those of every family.
        read_run: ``module:function`` that reads a run's rows, for ``trainwright compare``; see :mod:`trainwright.report.run_table`.
        trains_on: ``images`` if ``data`` may be any folder of images; else the word for the data of its recipes.
        quality: parts by which a run is judged in addition to alarms; see :mod:`trainwright.studies.quality`.
        kinds: kinds of model that it trains, see :mod:`trainwright.diagnosis.kinds`; its remedies are offered to loops of these.
        package: the package that holds ``recipes/`` and ``playbook.yaml``; by default the package of ``model``.
    """

    name: str
    summary: str
    config_class: str
    model: str
    smoke: tuple[str, ...]
    symptoms: tuple[Symptom, ...] = ()
    causes: tuple[Cause, ...] = ()
    checks: tuple[Inspect, ...] = ()
    signals: tuple[Signal, ...] = ()
    charts: tuple[Chart, ...] = ()
    read_run: str = ""
    trains_on: str = "images"
    quality: tuple[QualityPart, ...] = ()
    kinds: tuple[str, ...] = ()
    package: str = ""

    @cached_property
    def config(self) -> "type[RunConfig]":
        """The schema of its recipes."""
        found: type[RunConfig] = named(self.config_class)
        return found

    def load(self, config: "RunConfig") -> "type[GenerativeModel]":
        """Import and return the model class of a config, and with it PyTorch."""
        found = named(self.model)
        return found if isinstance(found, type) else found(config)

    def read(self) -> Callable[..., Any] | None:
        """Import and return the function that ``read_run`` names, if any."""
        return named(self.read_run) if self.read_run else None

    @property
    def home(self) -> str:
        """The package that holds the recipes and the playbook."""
        return self.package or self.model.partition(":")[0].rpartition(".")[0]

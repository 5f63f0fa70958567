"""What the registry knows of a family before anything heavy is imported."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainwright.train.config import RunConfig

if TYPE_CHECKING:
    from trainwright.train.system import System


@dataclass(frozen=True)
class Family:
    """A kind of model.

    Attributes:
        name: as in ``trainwright train NAME/recipe``; the recipes lie beside it in ``recipes/*.yaml``.
        summary: one line for ``--help`` and the docs.
        config: its recipe's schema.
        system: ``module:class`` of its :class:`~trainwright.train.system.System`, imported when it is first needed.
        smoke: overrides that let any of its recipes train in seconds on real data; every contract is tested with them.
        package: where ``recipes/`` lies; by default ``trainwright.families.NAME``.
    """

    name: str
    summary: str
    config: type[RunConfig]
    system: str
    smoke: tuple[str, ...]
    package: str = ""

    def load(self) -> "type[System]":
        """Imports and returns the system class (and with it PyTorch)."""
        module, _, name = self.system.partition(":")
        return getattr(importlib.import_module(module), name)

    @property
    def home(self) -> str:
        """The package that holds the recipes."""
        return self.package or f"trainwright.families.{self.name}"

"""Base of controllers, which read the losses of a step and set factors for the next step."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainwright.engine.controllers.settings import ControllerSettings

Losses = Mapping[str, float]


class Controller(ABC):
    """Chooses factors from losses; deterministic given :meth:`state`, and equal on every process.

    Args:
        settings: of the recipe.
        roles: role -> signal, as the family names them: ``g_total``, ``d_total``, ``reconstruction``, ``kl``, ``adversarial``,
            ``d_real``, ``d_fake``, ``lambda_kl``, ``quality``.
        groups: names of the parameter groups.
        seed: of the run.
    """

    def __init__(
        self, settings: ControllerSettings, roles: Mapping[str, str], groups: tuple[str, ...], seed: int
    ) -> None:
        self.settings, self.roles, self.groups, self.seed = settings, dict(roles), groups, seed
        self.factors: dict[str, float] = {}

    def act(self, signals: Mapping[str, float], step: int) -> dict[str, float]:
        """Set :attr:`factors` (``lr/GROUP``, ``momentum/GROUP``, ``weight/GROUP/TERM``) from the newest signals.

        Returns:
            Signals ``controller/...`` that show its decisions.
        """
        losses = {role: signals[name] for role, name in self.roles.items() if name in signals}
        reported = self.choose(losses, np.random.default_rng([self.seed, step, 0xC0]), step)
        return {f"controller/{name}": float(value) for name, value in {**self.factors, **reported}.items()}

    @abstractmethod
    def choose(self, losses: Losses, rng: np.random.Generator, step: int) -> dict[str, float]:
        """Set :attr:`factors` and return further values to log; ``rng`` is derived from seed and step."""

    def is_discriminator(self, group: str) -> bool:
        """Return whether a group is the discriminator or critic."""
        return group in ("discriminator", "critic")

    def reset_weight_factors(self) -> None:
        """Drop factors on loss weights, because they were chosen for another weight than the one in force."""
        self.factors = {name: factor for name, factor in self.factors.items() if not name.startswith("weight/")}

    def state(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        return {"kind": self.settings.kind, "factors": self.factors}

    def restore(self, state: Mapping[str, Any]) -> bool:
        """Restore what :meth:`state` returned; return False and change nothing if another kind of controller saved it."""
        if state.get("kind", self.settings.kind) != self.settings.kind:
            return False
        self.factors = dict(state["factors"])
        return True

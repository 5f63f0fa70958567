"""What every controller has: it sees the losses of a step and sets factors for the next one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainwright.engine.controllers.settings import ControllerSettings

Losses = Mapping[str, float]


class Controller(ABC):
    """Chooses factors from losses; pure but for what :meth:`state` holds, and the same on every process.

    Args:
        settings: of the recipe.
        roles: role -> signal, as the family names them: ``g_total``, ``d_total``, ``reconstruction``, ``kl``, ``adversarial``,
            ``d_real``, ``d_fake``, ``lambda_kl``, ``quality``.
        groups: names of the groups of networks that are trained.
        seed: of the run.
    """

    def __init__(
        self, settings: ControllerSettings, roles: Mapping[str, str], groups: tuple[str, ...], seed: int
    ) -> None:
        self.settings, self.roles, self.groups, self.seed = settings, dict(roles), groups, seed
        self.factors: dict[str, float] = {}

    def act(self, signals: Mapping[str, float], step: int) -> dict[str, float]:
        """Looks at the newest signals and sets :attr:`factors` (``lr/GROUP``, ``momentum/GROUP``, ``weight/GROUP/TERM``).

        Returns:
            Signals that show what it did, ``controller/...``.
        """
        losses = {role: signals[name] for role, name in self.roles.items() if name in signals}
        reported = self.choose(losses, np.random.default_rng([self.seed, step, 0xC0]), step)
        return {f"controller/{name}": float(value) for name, value in {**self.factors, **reported}.items()}

    @abstractmethod
    def choose(self, losses: Losses, own: np.random.Generator, step: int) -> dict[str, float]:
        """Sets :attr:`factors`; returns what else should be shown. ``own`` is derived from seed and step."""

    def judges(self, group: str) -> bool:
        """Whether a group is the one that tells real from made."""
        return group in ("discriminator", "critic")

    def let_weights_be(self) -> None:
        """Factors on weights of terms begin anew: another weight is in force than the one that they were chosen for."""
        self.factors = {name: factor for name, factor in self.factors.items() if not name.startswith("weight/")}

    def state(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {"kind": self.settings.kind, "factors": self.factors}

    def restore(self, state: Mapping[str, Any]) -> bool:
        """The inverse of :meth:`state`; False, and nothing is taken over, if another kind of controller left it."""
        if state.get("kind", self.settings.kind) != self.settings.kind:
            return False
        self.factors = dict(state["factors"])
        return True

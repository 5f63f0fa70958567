"""Random actions: the control with which a learned controller is compared."""

import numpy as np

from trainwright.engine.controllers.base import Controller, Losses


class RandomController(Controller):
    """Draws a rate and a momentum factor for each group uniformly at each step; the losses are not used."""

    def choose(self, losses: Losses, rng: np.random.Generator, step: int) -> dict[str, float]:
        """Draw the factors."""
        for group in self.groups:
            self.factors[f"lr/{group}"] = float(rng.choice(self.settings.lr_scales))
            self.factors[f"momentum/{group}"] = float(rng.choice(self.settings.momentum_scales))
        return {}

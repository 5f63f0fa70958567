"""Random actions: the control that a learned controller has to beat."""

import numpy as np

from trainwright.engine.controllers.base import Controller, Losses


class RandomController(Controller):
    """At each step a rate and a momentum factor for each group, each as likely as any other; the losses are not looked at."""

    def choose(self, losses: Losses, own: np.random.Generator, step: int) -> dict[str, float]:
        """Draws them."""
        for group in self.groups:
            self.factors[f"lr/{group}"] = float(own.choice(self.settings.lr_scales))
            self.factors[f"momentum/{group}"] = float(own.choice(self.settings.momentum_scales))
        return {}

"""A loss gate: the network that is far ahead of the other is not updated for a step."""

import numpy as np

from trainwright.engine.controllers.base import Controller, Losses


class LossGate(Controller):
    """Sets a learning rate to 0 while the discriminator's mean loss per term is outside [low, high]."""

    def choose(self, losses: Losses, rng: np.random.Generator, step: int) -> dict[str, float]:
        """Pause the discriminator while its loss is below ``low``, and all other groups while it is above ``high``."""
        loss = losses.get("d_total")
        for group in self.groups:
            if loss is None:
                continue
            paused = loss < self.settings.low if self.is_discriminator(group) else loss > self.settings.high
            self.factors[f"lr/{group}"] = 0.0 if paused else 1.0
        return {}

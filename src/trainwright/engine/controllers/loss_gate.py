"""A balance gate: whichever of the two networks is far ahead rests for a step."""

import numpy as np

from trainwright.engine.controllers.base import Controller, Losses


class LossGate(Controller):
    """Sets a rate to 0 while the discriminator's mean loss a term is outside of [low, high]."""

    def choose(self, losses: Losses, own: np.random.Generator, step: int) -> dict[str, float]:
        """The discriminator rests while it wins, everything else while it guesses worse than it should."""
        loss = losses.get("d_total")
        for group in self.groups:
            if loss is None:
                continue
            rests = loss < self.settings.low if self.judges(group) else loss > self.settings.high
            self.factors[f"lr/{group}"] = 0.0 if rests else 1.0
        return {}

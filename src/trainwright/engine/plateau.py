"""Early stopping and lower learning rates on a plateau: both look at one signal of held-out data, once an epoch.

The counts are Keras's: an epoch counts as better if the signal fell by more than ``min_delta`` below the best so far.
"""

import math
from dataclasses import dataclass
from typing import Any

from trainwright.engine.config import PlateauSettings


@dataclass
class Plateau:
    """What has been seen so far. All of it is stored in a checkpoint; what follows from it is decided anew each time.

    Attributes:
        best: lowest value of the signal.
        best_step: step at which it was seen.
        waited: epochs since then.
        since_drop: epochs since then or since the last lowering of the rates.
        scale: factor on every learning rate.
    """

    best: float = math.inf
    best_step: int = 0
    waited: int = 0
    since_drop: int = 0
    scale: float = 1.0

    def observe(self, value: float, step: int, settings: PlateauSettings) -> tuple[bool, bool]:
        """Takes in the signal at the end of an epoch.

        Returns:
            (whether it is the best so far, whether the learning rates were lowered now).
        """
        better = value < self.best - settings.min_delta
        if better:
            self.best, self.best_step, self.waited, self.since_drop = value, step, 0, 0
            return True, False
        self.waited += 1
        self.since_drop += 1
        lower = settings.reduce_lr_patience is not None and self.since_drop >= settings.reduce_lr_patience
        if lower:
            self.scale *= settings.reduce_lr_factor
            self.since_drop = 0
        return False, lower

    def stopped(self, settings: PlateauSettings) -> bool:
        """Whether early stopping says that the run is over."""
        return settings.early_stopping_patience is not None and self.waited >= settings.early_stopping_patience

    def state(self) -> dict[str, Any]:
        """For a checkpoint; JSON has no infinity."""
        return {**vars(self), "best": None if math.isinf(self.best) else self.best}

    @classmethod
    def restore(cls, state: dict[str, Any] | None) -> "Plateau":
        """The inverse of :meth:`state`."""
        if state is None:
            return cls()
        return cls(**{**state, "best": math.inf if state["best"] is None else state["best"]})

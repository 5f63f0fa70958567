"""Validation loss at the end of an epoch: early stopping, and lower learning rates on a plateau.

Counting follows Keras: an epoch is better if the signal fell by more than ``min_delta`` below the best so far.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainwright.engine.callbacks.base import (
    Callback,
    Event,
    Finish,
    Note,
    Rebuilt,
    Record,
    Request,
    Requests,
    Save,
    ScaleLearningRates,
)
from trainwright.engine.config import PlateauSettings
from trainwright.errors import UserError

if TYPE_CHECKING:
    from trainwright.engine.state import TrainingView


@dataclass
class Plateau:
    """Readings of the monitored signal so far.

    Attributes:
        best: lowest value of the signal.
        best_step: step at which it was measured.
        waited: epochs since then.
        since_drop: epochs since then or since the last lowering of the learning rates.
        scale: factor on every learning rate.
    """

    best: float = math.inf
    best_step: int = 0
    waited: int = 0
    since_drop: int = 0
    scale: float = 1.0

    def observe(self, value: float, step: int, settings: PlateauSettings) -> tuple[bool, bool]:
        """Add the value of the signal at the end of an epoch.

        Returns:
            (it is the best so far, the learning rates are lowered now).
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
        """Return whether early stopping ends the run."""
        return settings.early_stopping_patience is not None and self.waited >= settings.early_stopping_patience

    def state(self) -> dict[str, Any]:
        """Return plain values for a checkpoint; JSON has no infinity."""
        return {**vars(self), "best": None if math.isinf(self.best) else self.best}

    @classmethod
    def restore(cls, state: Mapping[str, Any] | None) -> "Plateau":
        """Return the plateau that :meth:`state` stored."""
        if state is None:
            return cls()
        return cls(**{**state, "best": math.inf if state["best"] is None else state["best"]})


class PlateauCallback(Callback):
    """Validates once an epoch, keeps the best weights, lowers learning rates, and stops the run or phase early.

    Args:
        ends_run: False in a run with phases, where early stopping ends the present phase.
    """

    name = "plateau"
    every_process = True
    purpose = "validate"

    def __init__(self, ends_run: bool = True) -> None:
        self.plateau, self._ends_run = Plateau(), ends_run

    def stopped(self, view: "TrainingView") -> str | None:
        """Return why early stopping ends the run or phase, or None."""
        settings = view.config.train.plateau
        if not self.plateau.stopped(settings):
            return None
        return f"early stopping: no better {settings.monitor} since step {self.plateau.best_step}"

    def on_epoch_end(self, view: "TrainingView") -> Requests:
        """Measure the objective on held-out data, if a patience is set.

        Raises:
            UserError: the monitored signal is not measured.
        """
        settings = view.config.train.plateau
        return list(self._validate(view, settings)) if settings.on else None

    def _validate(self, view: "TrainingView", settings: PlateauSettings) -> Iterator[Request]:
        found = view.fabric.broadcast(_validation_loss(view) if view.is_main else {}, src=0)
        yield Record(found, epoch=True)
        if settings.monitor not in found:
            known = ", ".join(sorted(found)) or "none: no data are held out"
            raise UserError(
                f"train.plateau.monitor: signal {settings.monitor!r} is not measured at the end of an epoch; available: {known}."
            )
        better, lowered = self.plateau.observe(found[settings.monitor], view.step, settings)
        yield self._scale(view)
        facts = {"signal": settings.monitor, "best": self.plateau.best, "best_step": self.plateau.best_step}
        if better and view.step > 0:
            yield Save(view.run.best, keep=1)
        if lowered:
            yield Event("learning_rate_lowered", factor_in_force=self.plateau.scale, **facts)
        if self.plateau.stopped(settings):
            yield Event("early_stop", epochs_without_a_better_one=self.plateau.waited, **facts)
            yield Note(
                f"early stop at step {view.step}: no better {settings.monitor} since step {self.plateau.best_step}; "
                "the best weights are kept (sample and evaluate take them with --best)"
            )
            yield from self._finish(view)

    def _finish(self, view: "TrainingView") -> Iterator[Request]:
        reason = self.stopped(view)
        if reason is not None and self._ends_run:
            yield Finish(reason)

    def _scale(self, view: "TrainingView") -> Request:
        return ScaleLearningRates(self.plateau.scale, view.config.train.plateau.min_lr)

    def on_resume(self, view: "TrainingView") -> Requests:
        """Apply the learning rates again, and finish again unless the patience is longer now."""
        return [self._scale(view), *self._finish(view)]

    def on_rebuild(self, view: "TrainingView", rebuilt: Rebuilt) -> Requests:
        """Start again, because readings and lowered learning rates belong to the phase in which they occurred."""
        self.plateau = Plateau()
        return self._scale(view)

    def state_dict(self) -> dict[str, Any]:
        """Return the plateau."""
        return self.plateau.state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the plateau."""
        self.plateau = Plateau.restore(state)


def _validation_loss(view: "TrainingView") -> dict[str, float]:
    return view.model.validation_loss(view.data, view.step - 1, (view.samples - 1) / len(view.data))  # of the last step

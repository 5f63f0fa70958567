"""Phases as a callback: reads rows for the gate, keeps a phase's best weights, and requests the next phase."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from trainwright.engine import checkpoint as checkpoints
from trainwright.engine.callbacks.base import (
    Callback,
    Event,
    Finish,
    LoadWeights,
    Note,
    Rebuild,
    Rebuilt,
    Request,
    Requests,
    Save,
)
from trainwright.engine.callbacks.plateau import PlateauCallback
from trainwright.engine.phases import PhaseSchedule

if TYPE_CHECKING:
    from trainwright.engine.state import TrainingView


class PhasesCallback(Callback):
    """Moves a run through its phases; every process takes the same decisions.

    Args:
        schedule: the phases and the position of the run among them; the trainer stores it in checkpoints.
        plateau: its early stopping ends a phase.
    """

    every_process = True
    purpose = "phases"

    def __init__(self, schedule: PhaseSchedule, plateau: PlateauCallback) -> None:
        self.schedule, self._plateau = schedule, plateau

    def on_log(self, view: "TrainingView", row: Mapping[str, float]) -> Requests:
        """Pass the row to the gate, and keep the best weights of the phase."""
        better = self.schedule.read(row)
        return Save(self._best(view), keep=1) if better and view.step > 0 else None

    def on_step_end(self, view: "TrainingView") -> Requests:
        """Start the next phase if this one passed its gate, used up its budget, or was stopped early."""
        if view.done:
            return None
        reason = self.schedule.ended(view.step) or self._plateau.stopped(view)
        return list(self._advance(view, reason)) if reason is not None else None

    def _advance(self, view: "TrainingView", reason: str) -> Iterator[Request]:
        best = self._best(view)
        yield from self._end(view, reason)
        for name, missing in self.schedule.advance(view.step):
            yield Event("phase_skipped", phase=name, because=missing)
            yield Note(f"phase {name} is skipped: {missing}")
        if self.schedule.over:
            yield Finish("the last phase is over")
        else:
            yield Rebuild(self.schedule.config(), best)

    def on_rebuild(self, view: "TrainingView", rebuilt: Rebuilt) -> Requests:
        """Report the new phase and save, so that a resumed run starts in this phase."""
        if rebuilt.weights_step is None:  # a resumed run, whose checkpoint brings its weights
            return None
        phase = self.schedule.phase
        facts = {"weights_of_step": rebuilt.weights_step, "reinitialized": list(rebuilt.reinitialized)}
        return [
            Event("phase_started", phase=phase.name, settings=phase.settings, **facts),
            Note(f"phase {phase.name} starts with the weights of step {rebuilt.weights_step}"),
            Save(),
        ]

    def on_resume(self, view: "TrainingView") -> Requests:
        """Finish the run again if its last phase was over."""
        return Finish("the last phase is over") if self.schedule.over else None

    def on_finish(self, view: "TrainingView") -> Requests:
        """End the run with the best weights of its last phase, if that phase has a metric.

        Where ``train.steps`` ends the run before its phases, the last weights stay, so that more steps can continue from them.
        """
        phase = self.schedule.phase
        if not phase.metric or (not self.schedule.over and self.schedule.ended(view.step) is None):
            return None
        found, _ = checkpoints.find(self._best(view))
        if found is None or found.step == view.step:
            return None
        facts = {"weights_of_step": found.step, "best": self.schedule.best}
        return [
            LoadWeights(found),
            Event("best_weights", phase=phase.name, **facts),
            Note(f"the run ends with the weights of step {found.step}, the best by {phase.metric}"),
        ]

    def on_final_measurements(self, view: "TrainingView") -> Requests:
        """Report the end of the last phase; this callback runs after the one that requests the last row."""
        reason = self.schedule.ended(view.step)
        return list(self._end(view, reason)) if reason is not None else None

    def _end(self, view: "TrainingView", reason: str) -> Iterator[Request]:
        name = self.schedule.phase.name
        yield Event("phase_ended", phase=name, because=reason, best=self.schedule.best)
        yield Note(f"phase {name} ended at step {view.step}: {reason}")

    def _best(self, view: "TrainingView") -> Path:
        return view.run.folder / "phases" / self.schedule.phase.name

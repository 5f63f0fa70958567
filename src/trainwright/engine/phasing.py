"""How the loop goes from phase to phase: shows rows to the gate, keeps the best weights, says what ended, begins the next one."""

from pathlib import Path
from typing import TYPE_CHECKING

from trainwright.engine import checkpoint as checkpoints
from trainwright.engine import forking
from trainwright.engine.phases import PhaseSchedule

if TYPE_CHECKING:
    from trainwright.engine.trainer import Loop


def read(loop: "Loop", schedule: PhaseSchedule, signals: dict[str, float]) -> dict[str, float]:
    """Shows a row to the gate, and keeps the best weights of the phase."""
    signals = loop.fabric.broadcast(signals, src=0)  # held-out signals are on the main process alone
    better = schedule.read(signals)
    signals["phase/index"] = float(schedule.index)
    if better and loop.at.step > 0:
        with loop.clock.during("checkpoint"):
            loop.checkpoint(_best_of(loop, schedule), keep=1)
    return signals


def _best_of(loop: "Loop", schedule: PhaseSchedule) -> Path:
    return loop.run_folder.folder / "phases" / schedule.phase.name


def follow(loop: "Loop", schedule: PhaseSchedule) -> None:
    """Goes to the next phase if the gate of this one is passed, its budget used up, or early stopping ends it."""
    why = schedule.ended(loop.at.step)
    if why is None and loop.at.plateau.stopped(loop.settings.plateau):
        why = f"early stopping: no better {loop.settings.plateau.monitor} since step {loop.at.plateau.best_step}"
    if why is None:
        return
    best = _best_of(loop, schedule)
    end(loop, schedule, why)
    passed = schedule.advance(loop.at.step)
    for name, missing in passed if loop.main else ():
        loop.run_folder.event("phase_skipped", loop.at.step, phase=name, because=missing)
        loop.display.note(f"phase {name} is passed over: {missing}")
    if schedule.over:
        return
    found, _ = checkpoints.find(best)
    if found is None:
        loop.checkpoint()
        found = checkpoints.latest(loop.run_folder.checkpoints)
    loop.adopt(schedule)
    reinitialized = checkpoints.restore_what_fits(loop.model, found)
    updates = found.state["updates"]
    loop.updater.updates = {name: 0 if name in reinitialized else updates[name] for name in loop.updater.groups}
    loop.at.epoch_updates = dict(loop.updater.updates)
    if loop.main:
        facts = {"settings": schedule.phase.settings, "weights_of_step": found.step, "reinitialized": reinitialized}
        loop.run_folder.event("phase_started", loop.at.step, phase=schedule.phase.name, **facts)
        loop.display.note(f"phase {schedule.phase.name} begins with the weights of step {found.step}")
        forking.note(loop, reinitialized)
    loop.checkpoint()  # a resumed run is in this phase from its first step on


def settle(loop: "Loop", schedule: PhaseSchedule) -> None:
    """Ends the run with the best weights of its last phase, if that has a metric, as a phase in the middle hands them on.

    Not where ``train.steps`` ends the run before its phases do: then more steps go on from where it was.
    """
    if not schedule.phase.metric or (not schedule.over and schedule.ended(loop.at.step) is None):
        return
    found, _ = checkpoints.find(_best_of(loop, schedule))
    if found is None or found.step == loop.at.step:
        return
    checkpoints.restore_what_fits(loop.model, found)
    if loop.main:
        facts = {"phase": schedule.phase.name, "weights_of_step": found.step, "best": schedule.best}
        loop.run_folder.event("best_weights", loop.at.step, **facts)
        loop.display.note(f"the run ends with the weights of step {found.step}, the best by {schedule.phase.metric}")


def end(loop: "Loop", schedule: PhaseSchedule, why: str) -> None:
    """Says that a phase is over, and why."""
    if loop.main:
        loop.run_folder.event("phase_ended", loop.at.step, phase=schedule.phase.name, because=why, best=schedule.best)
        loop.display.note(f"phase {schedule.phase.name} ended at step {loop.at.step}: {why}")

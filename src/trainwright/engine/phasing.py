"""How the loop goes from phase to phase: shows rows to the gate, keeps the best weights, says what ended, begins the next one."""

from pathlib import Path
from typing import TYPE_CHECKING

from trainwright.engine import checkpoint as checkpoints
from trainwright.engine import forking
from trainwright.engine.phases import Course

if TYPE_CHECKING:
    from trainwright.engine.trainer import Loop


def read(loop: "Loop", course: Course, signals: dict[str, float]) -> dict[str, float]:
    """Shows a row to the gate, and keeps the best weights of the phase."""
    signals = loop.fabric.broadcast(signals, src=0)  # held-out signals are on the main process alone
    better = course.read(signals)
    signals["phase/index"] = float(course.index)
    if better and loop.at.step > 0:
        with loop.clock.during("checkpoint"):
            loop.checkpoint(_best_of(loop, course), keep=1)
    return signals


def _best_of(loop: "Loop", course: Course) -> Path:
    return loop.run_folder.folder / "phases" / course.phase.name


def follow(loop: "Loop", course: Course) -> None:
    """Goes to the next phase if the gate of this one is passed, its budget used up, or early stopping ends it."""
    why = course.ended(loop.at.step)
    if why is None and loop.at.plateau.stopped(loop.settings.plateau):
        why = f"early stopping: no better {loop.settings.plateau.monitor} since step {loop.at.plateau.best_step}"
    if why is None:
        return
    best = _best_of(loop, course)
    end(loop, course, why)
    passed = course.advance(loop.at.step)
    for name, missing in passed if loop.main else ():
        loop.run_folder.event("phase_passed_over", loop.at.step, phase=name, because=missing)
        loop.display.note(f"phase {name} is passed over: {missing}")
    if course.over:
        return
    found, _ = checkpoints.find(best)
    if found is None:
        loop.checkpoint()
        found = checkpoints.latest(loop.run_folder.checkpoints)
    loop.adopt(course)
    anew = checkpoints.restore_what_fits(loop.system, found)
    updates = found.state["updates"]
    loop.updater.updates = {name: 0 if name in anew else updates[name] for name in loop.updater.groups}
    loop.at.epoch_updates = dict(loop.updater.updates)
    if loop.main:
        facts = {"settings": course.phase.settings, "weights_of_step": found.step, "begun_anew": anew}
        loop.run_folder.event("phase_begun", loop.at.step, phase=course.phase.name, **facts)
        loop.display.note(f"phase {course.phase.name} begins with the weights of step {found.step}")
        forking.note(loop, anew)
    loop.checkpoint()  # a resumed run is in this phase from its first step on


def settle(loop: "Loop", course: Course) -> None:
    """Ends the run with the best weights of its last phase, if that has a metric, as a phase in the middle hands them on.

    Not where ``train.steps`` ends the run before its phases do: then more steps go on from where it was.
    """
    if not course.phase.metric or (not course.over and course.ended(loop.at.step) is None):
        return
    found, _ = checkpoints.find(_best_of(loop, course))
    if found is None or found.step == loop.at.step:
        return
    checkpoints.restore_what_fits(loop.system, found)
    if loop.main:
        facts = {"phase": course.phase.name, "weights_of_step": found.step, "best": course.best}
        loop.run_folder.event("best_weights", loop.at.step, **facts)
        loop.display.note(f"the run ends with the weights of step {found.step}, the best by {course.phase.metric}")


def end(loop: "Loop", course: Course, why: str) -> None:
    """Says that a phase is over, and why."""
    if loop.main:
        loop.run_folder.event("phase_ended", loop.at.step, phase=course.phase.name, because=why, best=course.best)
        loop.display.note(f"phase {course.phase.name} ended at step {loop.at.step}: {why}")

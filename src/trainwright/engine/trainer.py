"""The trainer: batch, step, callbacks, act on their requests. The mathematics of a step is in the family's ``model.py``.

Order of a step: seed everything from (seed, step), fetch the batch by position, ``training_step``, end of epoch, ``on_step_end``.
Nothing random is stored, so a resumed run repeats the uninterrupted one bit for bit on a CPU. Callbacks see a read-only view and
return requests (:mod:`trainwright.engine.callbacks.base`). Only :meth:`Trainer.act` changes anything.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainwright.data.stream import Prefetcher
from trainwright.engine import checkpoint as checkpoints
from trainwright.engine.callbacks.base import (
    Callback,
    Event,
    Finish,
    InspectUpdates,
    Judge,
    LoadWeights,
    Note,
    Rebuild,
    Rebuilt,
    Record,
    Request,
    Requests,
    Rollback,
    Save,
    ScaleLearningRates,
    SetFactors,
    Stop,
    WriteRow,
)
from trainwright.engine.clock import Clock
from trainwright.engine.display import Display
from trainwright.engine.distributed import any_true, mean
from trainwright.engine.model import Data, GenerativeModel
from trainwright.engine.phases import PhaseSchedule
from trainwright.engine.recorder import Recorder
from trainwright.engine.state import TrainingView, TrainState
from trainwright.engine.update import Updater, first_non_finite, with_ratios
from trainwright.errors import NonFinite, UserError
from trainwright.randomness import seed_step
from trainwright.runs import legacy
from trainwright.runs.folder import Run
from trainwright.runs.metrics_log import MetricsLog

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from trainwright.diagnosis.doctor import Diagnosis


class Trainer:
    """One run in one process.

    Args:
        model: built from the config of the run's first phase.
        data: the training and held-out data.
        run: the run folder.
        fabric: device, precision and processes.
        callbacks: called in this order.
        display: where notes go.
        stop: called after every step; True ends the run with a checkpoint, ``interrupted``.
        until: pause with a checkpoint after that step.
        schedule: the phase schedule of a run with phases.
        build: config -> model on the device, for a phase that needs another model.
    """

    def __init__(
        self,
        model: GenerativeModel,
        data: Data,
        run: Run,
        fabric: "Fabric",
        callbacks: Sequence[Callback],
        display: Display,
        *,
        stop: Callable[[], bool] = lambda: False,
        until: int | None = None,
        schedule: PhaseSchedule | None = None,
        build: Callable[[Any], GenerativeModel] | None = None,
    ) -> None:
        self.data, self.run, self.fabric, self.callbacks, self.display = data, run, fabric, callbacks, display
        self.stop, self.until, self.schedule, self._build = stop, until, schedule, build
        self.main = fabric.is_global_zero
        self.state, self.clock, self.recorder = TrainState(), Clock(), Recorder()
        self.view = TrainingView(self)
        self.diagnosis: Diagnosis | None = None
        self.resumed = False
        self.stopped: str | None = None  # why a callback ended the run
        self.finished: str | None = None  # why the run is complete before its length
        self._deferred: list[Request] = []
        self._logged_samples = 0
        self._use(model)
        self.metrics = MetricsLog(run, dict(model.losses_csv))
        self.state.epoch_updates = dict(self.updater.updates)

    # ---- the loop ----------------------------------------------------------------------------------------------------

    def fit(self) -> str:
        """Train to the end.

        Returns:
            ``finished``, ``interrupted``, ``paused`` (at ``until``) or ``stopped`` (by a callback, such as the doctor's).

        Raises:
            NonFinite: a NaN or infinity, and the policy is to stop or its rollbacks are used up.
        """
        batches = Prefetcher(self._fetch)
        try:
            if self.resumed and self.done:
                return "finished"
            self.call("on_train_start")
            while not self.done:
                try:
                    if self.train_step(batches):
                        self.end_epoch()
                    self.call("on_step_end")
                except NonFinite as error:
                    self.recover(error)
                    continue
                status = None if self.done else self.ended_early()
                if status is not None:
                    self.save()
                    self.call("on_train_end")
                    return status
            self.finish()
            return "finished"
        finally:
            batches.close()
            for callback in self.callbacks:
                callback.close()

    def train_step(self, batches: Prefetcher) -> bool:
        """Take one step; return whether it ended an epoch."""
        settings, state = self.settings, self.state
        seed_step(settings.seed, state.step, state.rollbacks, self.fabric.global_rank, self.fabric.world_size)
        with self.clock.during("data"):
            raw = torch.from_numpy(batches.get(state.samples, settings.batch_size))
        with self.clock.during("step"):
            batch = self.data.prepare(self.fabric.to_device(raw))
            with self.fabric.autocast():
                self.model.training_step(batch, TrainerContext(self, state.step, self.epoch))
        epoch = int(self.epoch)
        state.step += 1
        state.samples += settings.batch_size
        if state.step == 1 and not self.resumed:
            self.clock.reset()  # the first step includes warm-up
            self._logged_samples = state.samples
        return int(self.epoch) > epoch

    def end_epoch(self) -> None:
        """Record the updates of the epoch, let callbacks validate, and write the epoch's means."""
        state, updates = self.state, self.updater.updates
        counts = {f"updates_per_epoch/{name}": float(n - state.epoch_updates[name]) for name, n in updates.items()}
        state.epoch_updates = dict(updates)
        self.recorder.window.add(counts)
        self.call("on_epoch_end")
        means = self.recorder.epoch.take()
        if self.main:
            self.metrics.epoch(int(self.epoch), state.step, means)

    def ended_early(self) -> str | None:
        """Return the status with which the run ends at this step, before its length, or None."""
        if self.stopped is not None:  # on every process: Stop is a collective request
            return "stopped"
        if any_true(self.fabric, self.stop()):
            return "interrupted"
        return "paused" if self.until is not None and self.state.step >= self.until else None

    def finish(self) -> None:
        """Take the final measurements and save."""
        self.call("on_finish")
        self.call("on_final_measurements")
        self.save()
        self.call("on_train_end")

    # ---- callbacks and their requests --------------------------------------------------------------------------------

    def call(self, hook: str, *given: Any) -> None:
        """Call a hook of every callback that has it, and act on its requests.

        Collective requests of a callback on the main process are carried out after all callbacks were called.
        """
        for callback in self.callbacks:
            if getattr(type(callback), hook) is getattr(Callback, hook) or not (self.main or callback.every_process):
                continue
            with self.clock.during("final" if hook == "on_final_measurements" else callback.purpose):
                requests = _as_list(getattr(callback, hook)(self.view, *given))
            for request in requests:
                if request.collective and not callback.every_process:
                    self._deferred.append(request)
                else:
                    self.act(request)
        if any_true(self.fabric, bool(self._deferred)):
            deferred, self._deferred = self.fabric.broadcast(self._deferred, src=0), []
            for request in deferred:
                self.act(request)

    def act(self, request: Request) -> None:
        """Carry out a request of a callback."""
        match request:
            case Record(signals=signals, epoch=epoch):
                (self.recorder if epoch else self.recorder.window).add(signals)
            case Note(text=text):
                if self.main:
                    self.display.note(text)
            case Event(kind=kind, facts=facts):
                if self.main:
                    self.run.event(kind, self.state.step, **facts)
            case Judge(diagnosis=diagnosis):
                self.diagnosis = diagnosis
            case InspectUpdates():
                self.updater.to_inspect = set(self.model.groups)
            case WriteRow():
                self.write_row()
            case Save(folder=folder, keep=keep):
                self.save(folder, keep)
            case Stop(reason=reason):
                self.stopped = self.stopped or reason
            case Finish(reason=reason):
                self.finished = self.finished or reason
            case Rollback(reason=reason):
                if not self.roll_back(reason):
                    self.stopped = f"{reason}; no rollback is left"
            case ScaleLearningRates(scale=scale, floor=floor):
                self.updater.rate_scale, self.updater.rate_floor = scale, floor
            case SetFactors(factors=factors):
                self.updater.factors = dict(factors)
            case LoadWeights(checkpoint=checkpoint):
                checkpoints.restore_what_fits(self.model, checkpoint)
            case Rebuild(config=config, weights=weights):
                self.rebuild(config, weights)

    def write_row(self) -> None:
        """Write the means of all signals since the last row, and pass them to the callbacks."""
        with self.clock.during("monitor"):
            signals = with_ratios(self.recorder.window.take())
            if self.fabric.world_size > 1:
                signals = self.fabric.broadcast(signals, src=0)  # only the main process has held-out signals
            if self.schedule is not None:
                signals["phase/index"] = float(self.schedule.index)
            row = {**signals, **self.clock.row(self.state.samples - self._logged_samples)}
            self._logged_samples = self.state.samples
            if not signals:
                return
            if self.main:
                self.metrics.row(self.state.step, self.epoch, row)
        self.call("on_log", row)

    # ---- where the run is --------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> float:
        """Passes through the training data so far."""
        return self.state.samples / len(self.data)

    @property
    def total_steps(self) -> int:
        """Steps that the run has at its end, if the batch size stays and every phase uses its whole budget."""
        if self.schedule is not None:
            return min(self.schedule.total, self.settings.steps or self.schedule.total)
        if self.settings.steps is not None:
            return int(self.settings.steps)
        left = self.settings.epochs * len(self.data) - self.state.samples
        return self.state.step + max(0, math.ceil(left / self.settings.batch_size))

    @property
    def done(self) -> bool:
        """True once the run has reached its length, or a callback has finished it."""
        return self.finished is not None or self.state.step >= self.total_steps

    def _fetch(self, start: int, size: int) -> Any:
        share = size // self.fabric.world_size
        start = 0 if self.settings.overfit_one_batch else start
        mine = start + self.fabric.global_rank * share
        return self.data.fetch(self.settings.seed, mine, share)

    # ---- model and checkpoints ---------------------------------------------------------------------------------------

    def _use(self, model: GenerativeModel) -> None:
        self.model, self.settings = model, model.config.train
        self.recorder.watched = tuple(model.losses_csv.values())
        self.updater = Updater(model, self.fabric, self.recorder, self.settings.max_grad_norm)

    def _rebuild(self, config: Any) -> None:
        """Use a new model for this config; its weights are put in place by the caller."""
        assert self._build is not None
        model = self._build(config)
        model.adapt_to_data(self.data)
        self._use(model)

    def rebuild(self, config: Any, weights: Path) -> None:
        """Build the model for another config and load the newest checkpoint in ``weights`` as far as shapes fit."""
        found, _ = checkpoints.find(weights)
        if found is None:
            self.save()
            found = checkpoints.latest(self.run.checkpoints)
        self._rebuild(config)
        reinitialized = checkpoints.restore_what_fits(self.model, found)
        updates = found.state["updates"]
        self.updater.updates = {name: 0 if name in reinitialized else updates[name] for name in self.updater.groups}
        self.state.epoch_updates = dict(self.updater.updates)
        self.call("on_rebuild", Rebuilt(found.step, tuple(reinitialized)))
        self._note_reinitialized(reinitialized)

    def save(self, folder: Path | None = None, keep: int | None = None) -> None:
        """Write a checkpoint, by default among the run's own.

        Raises:
            NonFinite: a weight or buffer is not finite; nothing is written.
        """
        with self.clock.during("checkpoint"):
            folder = folder or self.run.checkpoints
            bad = first_non_finite(list(self.model.networks.values()))
            if bad is not None:
                message = f"step {self.state.step}: {bad} is not finite, so no checkpoint was written"
                raise NonFinite(message, {"tensor": bad})
            if self.main:
                healthy = self.view.verdict not in ("sick", "crashed")
                checkpoints.save(self.model, folder, self._state_dict(), healthy)
                checkpoints.retain(folder, keep or self.settings.keep_checkpoints)
                self.run.update(step=self.state.step, steps=self.total_steps, epoch=round(self.epoch, 3))
            self.fabric.barrier()

    def _state_dict(self) -> dict[str, Any]:
        return {
            **self.state.state_dict(),
            "updates": self.updater.updates,
            "recorder": self.recorder.state(),
            "monitor_share": self.clock.monitor_share(),
            "to_inspect": sorted(self.updater.to_inspect),
            "phases": self.schedule.state() if self.schedule is not None else None,
            "callbacks": {c.name: state for c in self.callbacks if c.name and (state := c.state_dict())},
        }

    def resume(self) -> bool:
        """Restore the newest good checkpoint; damaged ones are skipped with an event.

        Returns:
            False if there is none, and the run starts at step 0.
        """
        found, damaged = checkpoints.find(self.run.checkpoints)
        for name, reason in damaged if self.main else ():
            self.run.event("checkpoint_damaged", found.step if found else 0, checkpoint=name, reason=reason)
            self.display.note(f"checkpoint {name} is damaged and was skipped")
        if found is None:
            if self.main:
                self.metrics.cut_back(0)
            return False
        state = legacy.checkpoint_state(found.state)
        if self.schedule is not None and state.get("phases") is not None:
            before = self.schedule.index
            self.schedule.restore(state["phases"])
            if self.schedule.index != before:
                self._rebuild(self.schedule.config())
                self.call("on_rebuild", Rebuilt())
        reinitialized = self._restore_weights(found)
        counts = {
            key: {n: 0 if n in reinitialized else c for n, c in state[key].items()}
            for key in ("epoch_updates", "updates")
        }
        self.state.load_state_dict({**state, **counts})
        self.updater.updates = counts["updates"]
        self.updater.to_inspect = set(state.get("to_inspect", ()))
        self.recorder.restore(state["recorder"])
        for callback in self.callbacks:
            if callback.name in state["callbacks"]:
                callback.load_state_dict(state["callbacks"][callback.name])
        self._logged_samples = self.state.samples
        self.resumed, self.finished = True, None
        self.clock.reset()
        if self.main:
            for folder in (self.run.best, *(self.run.folder / "phases").glob("*")):
                checkpoints.drop_later(folder, self.state.step)
            self.metrics.cut_back(self.state.step)
        self.call("on_resume")
        if reinitialized:
            self.act(Event("reinitialized", groups=reinitialized))
            self._note_reinitialized(reinitialized)
            self.save()  # so that the next resume needs no checkpoint of the parent
        return True

    def _restore_weights(self, found: checkpoints.Checkpoint) -> list[str]:
        """Load the run's own checkpoint completely, or its parent's checkpoint as far as shapes fit.

        Returns:
            Names of the parameter groups that are reinitialised, with their optimizers.

        Raises:
            UserError: the run's own checkpoint does not fit, or no network of the parent's checkpoint does.
        """
        if found.step != self.run.read().get("forked_at"):
            checkpoints.restore(self.model, found)
            return []
        reinitialized = checkpoints.restore_what_fits(self.model, found)
        if len(reinitialized) == len(self.model.groups):
            raise UserError(
                f"{self.run.folder}: with these settings no network has the shape that it had in the parent run. "
                "Start the run from the beginning."
            )
        return reinitialized

    def _note_reinitialized(self, groups: Sequence[str]) -> None:
        if groups:
            self.act(Note(f"reinitialized with its optimizer, since its shape changed: {', '.join(groups)}"))

    # ---- rollback ----------------------------------------------------------------------------------------------------

    def recover(self, error: NonFinite) -> None:
        """Apply ``train.on_nonfinite`` after a NaN or infinity: raise the error, or roll back."""
        self.act(Event("non_finite", message=str(error), evidence=error.evidence))
        if self.settings.on_nonfinite == "stop" or not self.roll_back(str(error)):
            raise error

    def roll_back(self, reason: str) -> bool:
        """Return to the last checkpoint with another random path; False at the limit or without a checkpoint."""
        failed_at, rollbacks = self.state.step, self.state.rollbacks + 1
        if rollbacks > self.settings.max_rollbacks or not self.resume():
            return False
        self.state.rollbacks = rollbacks
        self.act(Event("rollback", failed_at=failed_at, rollbacks=rollbacks))
        self.act(Note(f"{reason}; returned to step {self.state.step} (rollback {rollbacks})"))
        return True


class TrainerContext:
    """The trainer as seen by a family's step; see :class:`trainwright.engine.model.StepContext`."""

    __slots__ = ("_trainer", "epoch", "step")

    def __init__(self, trainer: Trainer, step: int, epoch: float) -> None:
        self._trainer, self.step, self.epoch = trainer, step, epoch

    def update(self, group: str, **terms: tuple[float, Tensor]) -> None:
        """Take one optimizer step."""
        self._trainer.updater(group, terms, self.step, self.epoch)

    def record(self, **signals: Tensor) -> None:
        """Record signals that are not terms of a loss."""
        values = mean(self._trainer.fabric, torch.stack(list(signals.values()))).tolist()
        found = {name.replace("__", "/"): v for name, v in zip(signals, values, strict=True)}
        self._trainer.recorder.add(found)
        self._trainer.updater.latest |= found


def _as_list(requests: Requests) -> list[Request]:
    if requests is None:
        return []
    found = [requests] if isinstance(requests, Request) else list(requests)
    for request in found:
        if not isinstance(request, Request):
            raise TypeError(f"a callback returned {request!r}, which is not a request (see trainwright.Callback)")
    return found

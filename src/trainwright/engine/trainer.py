"""The training loop of every family. It reads top to bottom; what a step *is* stands in the family's ``model.py``.

Order of a step: seed everything from (seed, step) · batch by position · the family's step · epoch row and validation ·
held-out · log row · grid · checkpoint. Nothing random is stored, so a resumed run repeats the uninterrupted one bit for bit on a CPU.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainwright.data.stream import Prefetcher
from trainwright.engine import checkpoint as checkpoints
from trainwright.engine import forking, phasing
from trainwright.engine.clock import Clock
from trainwright.engine.controllers import Controller
from trainwright.engine.controllers import make as make_controller
from trainwright.engine.display import Display, status_line
from trainwright.engine.distributed import any_true, mean
from trainwright.engine.grids import save_grid
from trainwright.engine.model import Data, GenerativeModel
from trainwright.engine.monitor import Watcher
from trainwright.engine.phases import PhaseSchedule
from trainwright.engine.plateau import Plateau
from trainwright.engine.recorder import Recorder
from trainwright.engine.trackers import NullTracker, Tracker
from trainwright.engine.update import Updater, first_non_finite, with_ratios
from trainwright.errors import NonFinite, UserError
from trainwright.randomness import seed_step
from trainwright.runs.folder import Run
from trainwright.runs.metrics_log import MetricsLog

if TYPE_CHECKING:
    from lightning_fabric import Fabric

GRID_SEED = 20170331  # the same noise in every grid of every run, so that grids can be laid side by side


@dataclass
class Position:
    """Where a run is. Everything here is stored in a checkpoint."""

    step: int = 0
    samples: int = 0
    rollbacks: int = 0
    epoch_updates: dict[str, int] = field(default_factory=dict)  # update counts when the epoch began
    plateau: Plateau = field(default_factory=Plateau)


class Loop:
    """One run in one process: what the loop needs at hand, and :meth:`run`."""

    def __init__(
        self,
        model: GenerativeModel,
        data: Data,
        run: Run,
        fabric: "Fabric",
        display: Display,
        stop: Callable[[], bool],
        until: int | None = None,
        schedule: PhaseSchedule | None = None,
        rebuild: Callable[[Any], GenerativeModel] | None = None,
    ) -> None:
        self.model, self.data, self.run_folder, self.fabric = model, data, run, fabric
        self.display, self.stop, self.until = display, stop, until
        self.schedule, self._rebuild = schedule, rebuild
        self.tracker: Tracker = NullTracker()  # the session puts one in once it knows where a resumed run stands
        self.settings = model.config.train
        self.recorder = Recorder()
        self.recorder.watched = tuple(model.losses_csv.values())
        self.updater = Updater(model, fabric, self.recorder, self.settings.max_grad_norm)
        self.controller = self._make_controller()
        self.at = Position(epoch_updates=dict(self.updater.updates))
        self.tables = MetricsLog(run, dict(model.losses_csv))
        self.clock = Clock()
        self.main = fabric.is_global_zero
        self.watcher = Watcher(model, data, run, self.total_steps)
        self._logged_samples = 0
        self.sick: str | None = None  # why the doctor ended the run

    # ---- the loop ----------------------------------------------------------------------------------------------------

    def run(self) -> str:
        """Trains to the end; returns ``finished``, ``interrupted``, ``paused`` (at ``until``) or ``stopped`` (by the doctor).

        Raises:
            NonFinite: a NaN or infinity, and the policy is to stop or its rollbacks are used up.
        """
        if self._resumed and self.done:
            self.tracker.close()
            return "finished"
        if self.main:
            self.watcher.prepare()
        batches = Prefetcher(self._fetch)
        try:
            if self.at.step == 0 and not self._resumed:
                self._grid()
                self.checkpoint()  # something to go back to from the very first step
            while not self.done:
                try:
                    self._step(batches)
                except NonFinite as error:
                    self._roll_back(error)
                    continue
                if self.done:
                    break  # asked to stop at the very end, it ends like any other
                if any_true(self.fabric, self.sick is not None):
                    self.checkpoint()
                    return "stopped"
                if any_true(self.fabric, self.stop()):
                    self.checkpoint()
                    return "interrupted"
                if self.until is not None and self.at.step >= self.until:
                    self.checkpoint()
                    return "paused"
            self._finish()
            return "finished"
        finally:
            batches.close()
            self.tracker.close()

    def _step(self, batches: Prefetcher) -> None:
        settings, at = self.settings, self.at
        seed_step(settings.seed, at.step, at.rollbacks, self.fabric.global_rank, self.fabric.world_size)
        with self.clock.during("data"):
            raw = torch.from_numpy(batches.get(at.samples, settings.batch_size))
        with self.clock.during("step"):
            batch = self.data.prepare(self.fabric.to_device(raw))
            with self.fabric.autocast():
                self.model.step(batch, TrainerContext(self, at.step, self.epoch))
        if self.controller is not None:
            self.recorder.add(self.controller.act(self.updater.latest, at.step))
            self.updater.factors = self.controller.factors
        epochs_before = int(self.epoch)
        at.step += 1
        at.samples += settings.batch_size
        if at.step == 1 and not self._resumed:
            self.clock.reset()  # the first step pays for warm-up
            self._logged_samples = at.samples
        if int(self.epoch) > epochs_before:
            self._end_epoch()
        with self.clock.during("watch"):
            if self.done:
                return  # the last row, grid and checkpoint are _finish's
            if at.step % settings.validate_every == 0:
                self._validate_and_probe()
            if at.step % settings.log_every == 0:
                self._log()
            if at.step % settings.sample_every == 0:
                self._grid()
        if self.schedule is not None:
            phasing.follow(self, self.schedule)
        if at.step % settings.checkpoint_every == 0:
            with self.clock.during("checkpoint"):
                self.checkpoint()

    def _finish(self) -> None:
        if self.schedule is not None:
            phasing.settle(self, self.schedule)
        self._grid()
        self._validate_and_probe(last=True)
        self._log()
        if self.main:
            self._look(last=True)
        why = self.schedule.ended(self.at.step) if self.schedule is not None else None
        if self.schedule is not None and why is not None:
            phasing.end(self, self.schedule, why)
        self.checkpoint()

    # ---- where the run is --------------------------------------------------------------------------------------------

    _resumed = False
    _examine = False

    @property
    def epoch(self) -> float:
        """Passes through the training data so far."""
        return self.at.samples / len(self.data)

    @property
    def total_steps(self) -> int:
        """Steps the run will have at its end, if the batch size stays and every phase uses up its budget."""
        if self.schedule is not None:
            return min(self.schedule.total, self.settings.steps or self.schedule.total)
        if self.settings.steps is not None:
            return int(self.settings.steps)
        left = self.settings.epochs * len(self.data) - self.at.samples
        return self.at.step + max(0, math.ceil(left / self.settings.batch_size))

    @property
    def done(self) -> bool:
        """Whether the run has reached its length, or early stopping ends it; a run in phases ends with the last of them."""
        if self.schedule is not None:
            return self.schedule.over or self.at.step >= self.total_steps
        return self.at.step >= self.total_steps or self.at.plateau.stopped(self.settings.plateau)

    def _fetch(self, start: int, size: int) -> Any:
        share = size // self.fabric.world_size
        start = 0 if self.settings.overfit_one_batch else start
        mine = start + self.fabric.global_rank * share
        return self.data.fetch(self.settings.seed, mine, share)

    # ---- what is written down ----------------------------------------------------------------------------------------

    def _end_epoch(self) -> None:
        at = self.at
        done = {f"updates_per_epoch/{n}": float(c - at.epoch_updates[n]) for n, c in self.updater.updates.items()}
        at.epoch_updates = dict(self.updater.updates)
        self.recorder.window.add(done)
        if self.settings.plateau.on:
            self._validate()
        means = self.recorder.epoch.take()
        if self.main:
            self.tables.epoch(int(self.epoch), at.step, means)

    def _validate(self) -> None:
        """Measures the objective on held-out data; keeps the best weights, lowers the rates or ends the run as the settings say."""
        at, settings = self.at, self.settings.plateau
        with self.clock.during("validate"):
            found = self.fabric.broadcast(self._objective() if self.main else {}, src=0)
        self.recorder.add(found)
        if settings.monitor not in found:
            known = ", ".join(sorted(found)) or "none: the data hold nothing out"
            raise UserError(
                f"train.plateau.monitor: no signal {settings.monitor!r} at the end of an epoch; there is {known}."
            )
        better, lowered = at.plateau.observe(found[settings.monitor], at.step, settings)
        self._follow_plateau()
        if better and at.step > 0:
            with self.clock.during("checkpoint"):
                self.checkpoint(self.run_folder.best, keep=1)
        if self.main and lowered:
            facts = {"factor_in_force": at.plateau.scale, "signal": settings.monitor, "best": at.plateau.best}
            self.run_folder.event("learning_rate_lowered", at.step, best_step=at.plateau.best_step, **facts)
        if self.main and at.plateau.stopped(settings):
            facts = {"signal": settings.monitor, "best": at.plateau.best, "best_step": at.plateau.best_step}
            self.run_folder.event("early_stop", at.step, epochs_without_a_better_one=at.plateau.waited, **facts)
            self.display.note(
                f"early stop at step {at.step}: no better {settings.monitor} since step {at.plateau.best_step}; "
                "the best weights are kept (sample and evaluate take them with --best)"
            )

    def _objective(self) -> dict[str, float]:
        return self.model.validation_loss(
            self.data, self.at.step - 1, (self.at.samples - 1) / len(self.data)
        )  # of the last step

    def _follow_plateau(self) -> None:
        self.updater.rate_scale, self.updater.rate_floor = self.at.plateau.scale, self.settings.plateau.min_lr

    def _log(self) -> None:
        signals = with_ratios(self.recorder.window.take())
        if self.controller is not None:
            name = self.model.roles.get("quality", "")
            seen = self.fabric.broadcast(signals.get(name), src=0)  # held-out signals are on the main process alone
            if seen is not None:
                self.updater.latest[name] = seen
        if self.schedule is not None:
            signals = phasing.read(self, self.schedule, signals)
        speed = self.clock.row(self.at.samples - self._logged_samples)
        self._logged_samples = self.at.samples
        if not self.main or not signals:
            return
        self.tables.row(self.at.step, self.epoch, {**signals, **speed})
        self.tracker.row(self.at.step, {**signals, **speed})
        self.watcher.row({"step": self.at.step, **signals})
        if self._examine:
            self._look()
        if speed:
            left = (self.total_steps - self.at.step) * self.settings.batch_size
            speed["speed/seconds_left"] = left / speed["speed/samples_per_second"]
        latest = self.watcher.latest
        verdict: str = latest.verdict if latest is not None else "not judged yet"
        if latest is not None and latest.alarms:
            verdict += f": {latest.alarms[0].symptom.title}"
        if self.at.rollbacks:
            verdict += f" (after {self.at.rollbacks} rollbacks)"
        line = status_line(
            self.at.step, self.total_steps, self.epoch, {**signals, **speed}, self.model.headline, verdict
        )
        self.display.status(line, self.at.step, self.total_steps)

    def _grid(self) -> None:
        self.model.prepare_sampling(self.data)
        if self.main:
            file = self.run_folder.samples / f"step_{self.at.step:08d}.png"
            save_grid(self.model.sample(self.settings.sample_count, GRID_SEED), file)
            self.tracker.image(self.at.step, file)
            for name, view in self.model.views(self.data).items():
                save_grid(view.images, self.run_folder.views / name / file.name, view.columns)

    def _validate_and_probe(self, last: bool = False) -> None:
        if not self.main:
            return
        self.recorder.window.add(self.model.validate(self.data))
        watcher, first = self.watcher, self.watcher.looks == 0
        self.updater.to_inspect = set(self.model.groups)
        if self.settings.probe_stride is not None:
            watcher.stride = self.settings.probe_stride
        elif first:
            watcher.pace(self.clock.whole.get("step", 0.0) / max(1, self.at.step))
        self.recorder.window.add(watcher.probe(last))
        self._examine = True

    def _look(self, last: bool = False) -> None:
        """The doctor's look at all signals so far; a certain failure asks for a stop."""
        self._examine = False
        elapsed = sum(self.clock.whole.values())
        for finding in self.watcher.examine(elapsed, last):
            self.display.note(f"{finding.observation.severity}: {finding.sentence()}")
            for ranked in finding.causes[:2]:
                self.display.note(f"  cause: {ranked.cause.title} ({ranked.weight.because})")
            sick = finding.certain or (self.settings.on_failure == "stop" and finding.observation.severity == "sick")
            if sick and self.settings.on_failure != "continue" and not last:
                self.sick = finding.sentence()

    def checkpoint(self, folder: Path | None = None, keep: int | None = None) -> None:
        """Writes a checkpoint, by default among the run's own; old ones beyond ``keep`` go."""
        at, folder = self.at, folder or self.run_folder.checkpoints
        bad = first_non_finite(list(self.model.networks.values()))
        if bad is not None:
            raise NonFinite(f"step {at.step}: {bad} is not finite, so no checkpoint was written", {"tensor": bad})
        if self.main:
            state = {
                "step": at.step,
                "samples": at.samples,
                "rollbacks": at.rollbacks,
                "epoch_updates": at.epoch_updates,
                "updates": self.updater.updates,
                "recorder": self.recorder.state(),
                "watch_share": self.clock.watch_share(),
                "looks": [self.watcher.looks, self.watcher.stride],
                "to_inspect": sorted(self.updater.to_inspect),
                "plateau": at.plateau.state(),
                "controller": self._controller_state(),
                "course": self.schedule.state() if self.schedule is not None else None,
            }
            latest = self.watcher.latest
            healthy = latest is None or latest.verdict not in ("sick", "crashed")
            checkpoints.save(self.model, folder, state, healthy)
            checkpoints.retain(folder, keep or self.settings.keep_checkpoints)
            self.run_folder.update(step=at.step, steps=self.total_steps, epoch=round(self.epoch, 3))
        self.fabric.barrier()

    def _make_controller(self) -> Controller | None:
        groups = tuple(self.model.groups)
        return make_controller(self.model.config.controller, dict(self.model.roles), groups, self.settings.seed)

    def _controller_state(self) -> dict[str, Any] | None:
        if self.controller is None:
            return None
        latest = {name: self.updater.latest[name] for name in self.model.roles.values() if name in self.updater.latest}
        return {**self.controller.state(), "latest": latest}

    # ---- phases ------------------------------------------------------------------------------------------------------

    def adopt(self, schedule: PhaseSchedule) -> None:
        """A system with the settings of the phase; its weights are put in place by the caller."""
        assert self._rebuild is not None
        latest = self.updater.latest
        self.model = self._rebuild(schedule.config())
        self.model.adapt_to_data(self.data)
        self.settings = self.model.config.train
        self.updater = Updater(self.model, self.fabric, self.recorder, self.settings.max_grad_norm)
        self.at.plateau = Plateau()  # what a phase saw, and rates that it lowered, are its own
        self._follow_plateau()
        before, self.controller = self.controller, self._make_controller()
        if before is not None and self.controller is not None:
            self.controller.restore(before.state())
            self.controller.let_weights_be()
            self.updater.factors, self.updater.latest = self.controller.factors, latest
        self.watcher.serve(self.model, self.total_steps)

    # ---- going back --------------------------------------------------------------------------------------------------

    def resume(self) -> bool:
        """Goes to the newest good checkpoint, if there is one; damaged ones are passed over with an event."""
        found, damaged = checkpoints.find(self.run_folder.checkpoints)
        for name, reason in damaged:
            if self.main:
                self.run_folder.event("checkpoint_damaged", found.step if found else 0, checkpoint=name, reason=reason)
                self.display.note(f"checkpoint {name} is damaged and was passed over")
        if found is None:
            if self.main:
                self.tables.cut_back(0)
            return False
        state = found.state
        if self.schedule is not None and state.get("course") is not None:
            before = self.schedule.index
            self.schedule.restore(state["course"])
            if self.schedule.index != before:
                self.adopt(self.schedule)
        reinitialized = forking.restore(self.model, found, self.run_folder)
        plateau = Plateau.restore(state.get("plateau"))
        counts = [
            {n: 0 if n in reinitialized else c for n, c in state[k].items()} for k in ("epoch_updates", "updates")
        ]
        self.at = Position(state["step"], state["samples"], state["rollbacks"], counts[0], plateau)
        self._follow_plateau()
        self.updater.updates = counts[1]
        if self.controller is not None and state.get("controller") is not None:
            self.controller.restore(state["controller"])
            self.updater.factors = self.controller.factors
            self.updater.latest = dict(state["controller"]["latest"])
        self.recorder.restore(state["recorder"])
        self.watcher.looks, self.watcher.stride = state.get("looks", [0, 1])
        self.updater.to_inspect = set(state.get("to_inspect", ()))
        self._logged_samples = self.at.samples
        self._resumed = True
        self.clock.reset()
        if self.main:
            checkpoints.drop_later(self.run_folder.best, self.at.step)
            for phase in (self.run_folder.folder / "phases").glob("*"):
                checkpoints.drop_later(phase, self.at.step)
            self.tables.cut_back(self.at.step)
            self.watcher.resume(self.recorder.window.sums)
        if reinitialized:
            forking.settle(self, reinitialized)
        return True

    def _roll_back(self, error: NonFinite) -> None:
        """Follows ``train.on_nonfinite``: stops, or returns to the last checkpoint on another random path."""
        if self.main:
            self.run_folder.event("non_finite", self.at.step, message=str(error), evidence=error.evidence)
        failed_at, rollbacks = self.at.step, self.at.rollbacks + 1
        give_up = self.settings.on_nonfinite == "stop" or rollbacks > self.settings.max_rollbacks
        if give_up or not self.resume():
            raise error
        self.at.rollbacks = rollbacks
        if self.main:
            self.run_folder.event("rollback", self.at.step, failed_at=failed_at, rollbacks=rollbacks)
            self.display.note(f"{error}; went back to step {self.at.step} (rollback {rollbacks})")


class TrainerContext:
    """What a family's step sees of the loop; see :class:`trainwright.engine.model.StepContext`."""

    def __init__(self, loop: Loop, step: int, epoch: float) -> None:
        self._loop, self.step, self.epoch = loop, step, epoch

    def update(self, group: str, **terms: tuple[float, Tensor]) -> None:
        """One optimizer step."""
        self._loop.updater(group, terms, self.step, self.epoch)

    def record(self, **signals: Tensor) -> None:
        """Records signals that are not terms."""
        values = mean(self._loop.fabric, torch.stack(list(signals.values()))).tolist()
        found = {name.replace("__", "/"): v for name, v in zip(signals, values, strict=True)}
        self._loop.recorder.add(found)
        self._loop.updater.latest |= found

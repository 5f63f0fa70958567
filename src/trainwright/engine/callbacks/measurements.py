"""Callbacks with a cadence: held-out signals, sample grids, rows of signals, checkpoints."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trainwright.engine.callbacks.base import Callback, InspectUpdates, Record, Requests, Save, WriteRow
from trainwright.engine.display import Display, status_line
from trainwright.engine.grids import save_grid
from trainwright.engine.trackers import KINDS, FailSafeTracker, NullTracker, Tracker

if TYPE_CHECKING:
    from trainwright.engine.state import TrainingView

GRID_SEED = 20170331  # the same noise in every grid of every run, so that grids can be compared


class ValidationCallback(Callback):
    """Measures held-out signals every ``train.validate_every`` steps, and requests an inspection of the next updates."""

    purpose = "monitor"

    def on_step_end(self, view: "TrainingView") -> Requests:
        """Measure if it is time."""
        return self.on_final_measurements(view) if view.due(view.config.train.validate_every) else None

    def on_final_measurements(self, view: "TrainingView") -> Requests:
        """Measure."""
        return [Record(view.model.validate(view.data)), InspectUpdates()]


class SamplesCallback(Callback):
    """Draws a grid of samples, and the family's views, every ``train.sample_every`` steps."""

    every_process = True  # buffers that only sampling uses stay equal on every process
    purpose = "monitor"

    def __init__(self, logging: "LoggingCallback") -> None:
        self._logging = logging

    def on_train_start(self, view: "TrainingView") -> Requests:
        """Draw samples of the untrained networks."""
        if view.fresh:
            self._draw(view)
        return None

    def on_step_end(self, view: "TrainingView") -> Requests:
        """Draw if it is time."""
        if view.due(view.config.train.sample_every):
            self._draw(view)
        return None

    def on_final_measurements(self, view: "TrainingView") -> Requests:
        """Draw samples of the trained networks."""
        self._draw(view)
        return None

    def _draw(self, view: "TrainingView") -> None:
        view.model.prepare_sampling(view.data)
        if view.is_main:
            file = view.run.samples / f"step_{view.step:08d}.png"
            save_grid(view.model.sample(view.config.train.sample_count, GRID_SEED), file)
            self._logging.tracker.image(view.step, file)
            for name, grid in view.model.views(view.data).items():
                place = view.run.views / name / file.name
                save_grid(grid.images, place, grid.columns)
                self._logging.tracker.image(view.step, place, name)


class LoggingCallback(Callback):
    """Requests a row of signals every ``train.log_every`` steps, and passes it to the tracker and the status line."""

    every_process = True
    purpose = "monitor"

    def __init__(self, display: Display) -> None:
        self._display = display
        self.tracker: Tracker = NullTracker()
        self._told: set[str] = set()  # symptoms that the tracker knows of

    def on_train_start(self, view: "TrainingView") -> Requests:
        """Open the tracker at the current step of the run."""
        if view.is_main:
            make, run = KINDS[view.config.train.tracker], view.run
            opened = make(run.folder, run.name, view.step, view.config.model_dump(mode="json"))
            self.tracker = FailSafeTracker(opened, self._display.note)
            address = getattr(opened, "address", None)
            if address:
                self._display.note(f"W&B: {address}")
        return None

    def on_step_end(self, view: "TrainingView") -> Requests:
        """Request a row if it is time."""
        return WriteRow() if view.due(view.config.train.log_every) else None

    def on_final_measurements(self, view: "TrainingView") -> Requests:
        """Request the last row."""
        return WriteRow()

    def on_log(self, view: "TrainingView", row: Mapping[str, float]) -> Requests:
        """Show the row."""
        if not view.is_main:
            return None
        self.tracker.row(view.step, dict(row))
        self._tell(view)
        shown = dict(row)
        if "speed/samples_per_second" in row:
            left = (view.total_steps - view.step) * view.config.train.batch_size
            shown["speed/seconds_left"] = left / row["speed/samples_per_second"]
        line = status_line(view.step, view.total_steps, view.epoch, shown, view.model.headline, _verdict(view))
        self._display.status(line, view.step, view.total_steps)
        return None

    def _tell(self, view: "TrainingView") -> None:
        """Pass new findings of the doctor to the tracker."""
        alarms = {f.symptom.name: f for f in view.diagnosis.alarms} if view.diagnosis is not None else {}
        for name in alarms.keys() - self._told:
            causes = "; ".join(f"{r.cause.title} ({r.weight.reason})" for r in alarms[name].causes[:2])
            self.tracker.finding(
                view.step, f"{alarms[name].severity}: {alarms[name].title}", f"{alarms[name]}. Causes: {causes}"
            )
        self._told = set(alarms)

    def close(self) -> None:
        """Close the tracker."""
        self.tracker.close()


class CheckpointCallback(Callback):
    """Requests a checkpoint every ``train.checkpoint_every`` steps, and before the first step."""

    every_process = True
    purpose = "checkpoint"

    def on_train_start(self, view: "TrainingView") -> Requests:
        """Save the untrained networks, so that a rollback is possible from the first step on."""
        return Save() if view.fresh else None

    def on_step_end(self, view: "TrainingView") -> Requests:
        """Save if it is time."""
        return Save() if view.due(view.config.train.checkpoint_every) else None


def _verdict(view: "TrainingView") -> str:
    latest = view.diagnosis
    text: str = latest.verdict if latest is not None else "not judged yet"
    if latest is not None and latest.alarms:
        text += f": {latest.alarms[0].symptom.title}"
    return text + (f" (after {view.rollbacks} rollbacks)" if view.rollbacks else "")

"""The callback interface: hooks that see a read-only view of the training, and the requests that they may return.

A callback of your own is a subclass with the hooks that it needs::

    class StopAboveFifty(tw.Callback):
        def on_log(self, view, row):
            if row.get("generator/loss", 0.0) > 50:
                return tw.Stop("the generator's loss is above 50")
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from trainwright.diagnosis.doctor import Diagnosis
    from trainwright.engine.checkpoint import Checkpoint
    from trainwright.engine.config import RunConfig
    from trainwright.engine.state import TrainingView


class Request:
    """A request of a callback to the trainer. A ``collective`` request concerns every process of a run."""

    collective: ClassVar[bool] = False


@dataclass(frozen=True)
class Record(Request):
    """Add signals to the next row of ``metrics.jsonl``, with ``epoch`` also to the epoch means of ``losses.csv``."""

    signals: Mapping[str, float]
    epoch: bool = False


@dataclass(frozen=True)
class Note(Request):
    """Show a line above the status line."""

    text: str


@dataclass(frozen=True, init=False)
class Event(Request):
    """Append a line to ``events.jsonl``; ``facts`` must be plain JSON values."""

    kind: str
    facts: Mapping[str, Any]

    def __init__(self, kind: str, /, **facts: Any) -> None:
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "facts", facts)


@dataclass(frozen=True)
class Judge(Request):
    """Make this diagnosis the verdict in force."""

    diagnosis: "Diagnosis"


@dataclass(frozen=True)
class InspectUpdates(Request):
    """Measure gradient shares and update ratios in the next update of every parameter group."""


@dataclass(frozen=True)
class WriteRow(Request):
    """Write a row of ``metrics.jsonl`` with the means of all signals since the last one."""

    collective: ClassVar[bool] = True


@dataclass(frozen=True)
class Save(Request):
    """Write a checkpoint, by default among the run's own; ``keep`` is the number of checkpoints that stay in the folder."""

    folder: Path | None = None
    keep: int | None = None
    collective: ClassVar[bool] = True


@dataclass(frozen=True)
class Stop(Request):
    """End the run now with a checkpoint and the status ``stopped``; the same command resumes it."""

    reason: str
    collective: ClassVar[bool] = True


@dataclass(frozen=True)
class Finish(Request):
    """End the run as if its length were reached: last samples, validation and diagnosis, status ``finished``."""

    reason: str
    collective: ClassVar[bool] = True


@dataclass(frozen=True)
class Rollback(Request):
    """Return to the last checkpoint and continue on another random path; ``train.max_rollbacks`` limits the number."""

    reason: str
    collective: ClassVar[bool] = True


@dataclass(frozen=True)
class ScaleLearningRates(Request):
    """Multiply every scheduled learning rate by ``scale``, but lower none of them below ``floor``."""

    scale: float
    floor: float
    collective: ClassVar[bool] = True


@dataclass(frozen=True)
class SetFactors(Request):
    """Set a controller's factors: ``lr/GROUP``, ``momentum/GROUP``, ``weight/GROUP/TERM``."""

    factors: Mapping[str, float]
    collective: ClassVar[bool] = True


@dataclass(frozen=True)
class LoadWeights(Request):
    """Put the weights of a checkpoint into the model, as far as shapes fit."""

    checkpoint: "Checkpoint"
    collective: ClassVar[bool] = True


@dataclass(frozen=True)
class Rebuild(Request):
    """Build the model again from other settings and put the newest checkpoint of ``weights`` into it.

    Without a checkpoint there, the current weights are used. Networks whose shape changed are reinitialised.
    """

    config: "RunConfig"
    weights: Path
    collective: ClassVar[bool] = True


@dataclass(frozen=True)
class Rebuilt:
    """Facts of a rebuild: the step whose weights were taken, and the parameter groups that were reinitialised."""

    weights_step: int | None = None
    reinitialized: tuple[str, ...] = field(default=())


Requests = Iterable[Request] | Request | None


class Callback:
    """Observes a training. Every hook may return a request, an iterable of requests, or None.

    Attributes:
        name: key of its state in a checkpoint.
        every_process: False: the hooks run on the main process alone, and collective requests reach the others.
        purpose: the name under which its time is counted; ``monitor`` counts towards the monitoring budget.
    """

    name: str = ""
    every_process: bool = False
    purpose: str = "callbacks"

    def on_train_start(self, view: "TrainingView") -> Requests:
        """Run once before the first step of this process."""

    def on_step_end(self, view: "TrainingView") -> Requests:
        """Run after every step."""

    def on_epoch_end(self, view: "TrainingView") -> Requests:
        """Run after the last step of every pass through the data, before ``on_step_end``."""

    def on_log(self, view: "TrainingView", row: Mapping[str, float]) -> Requests:
        """Run after a row of ``metrics.jsonl``; ``row`` holds the means of all signals since the last one."""

    def on_resume(self, view: "TrainingView") -> Requests:
        """Run after a checkpoint was loaded: a resumed run, or a rollback."""

    def on_rebuild(self, view: "TrainingView", rebuilt: Rebuilt) -> Requests:
        """Run after the model was built again with other settings."""

    def on_finish(self, view: "TrainingView") -> Requests:
        """Run when the last step is done, before the final measurements."""

    def on_final_measurements(self, view: "TrainingView") -> Requests:
        """Run once after ``on_finish``, regardless of any cadence."""

    def on_train_end(self, view: "TrainingView") -> Requests:
        """Run when the training ends without an error: finished, stopped, interrupted or paused."""

    def state_dict(self) -> dict[str, Any]:
        """Return plain JSON values for a checkpoint."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""

    def close(self) -> None:
        """Release files and connections, also after an error."""

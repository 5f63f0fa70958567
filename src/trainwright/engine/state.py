"""The position of a training (:class:`TrainState`), and the view that callbacks get (:class:`TrainingView`)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from trainwright.diagnosis.doctor import Diagnosis
    from trainwright.engine.config import RunConfig
    from trainwright.engine.model import Data, GenerativeModel
    from trainwright.engine.trainer import Trainer
    from trainwright.runs.folder import Run


@dataclass
class TrainState:
    """Position of a run; all of it is stored in a checkpoint.

    Attributes:
        step: optimizer steps completed.
        samples: training samples seen.
        rollbacks: returns to an earlier checkpoint; part of the seed, so that a retry takes another path.
        epoch_updates: number of updates of each parameter group when the epoch started.
    """

    step: int = 0
    samples: int = 0
    rollbacks: int = 0
    epoch_updates: dict[str, int] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the values of a checkpoint."""
        self.step, self.samples, self.rollbacks = state["step"], state["samples"], state["rollbacks"]
        self.epoch_updates = dict(state["epoch_updates"])


class TrainingView:
    """A read-only view of a training for callbacks. Model and data are the real ones and must not be changed."""

    __slots__ = ("_trainer",)
    _trainer: "Trainer"

    def __init__(self, trainer: "Trainer") -> None:
        object.__setattr__(self, "_trainer", trainer)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"callbacks cannot set {name!r}: return a request and the trainer acts on it")

    def __repr__(self) -> str:
        return f"<training of {self.run.name}: step {self.step} of {self.total_steps}>"

    @property
    def step(self) -> int:
        """Steps completed."""
        return self._trainer.state.step

    @property
    def samples(self) -> int:
        """Training samples seen."""
        return self._trainer.state.samples

    @property
    def epoch(self) -> float:
        """Passes through the training data so far."""
        return self._trainer.epoch

    @property
    def rollbacks(self) -> int:
        """Returns to an earlier checkpoint so far."""
        return self._trainer.state.rollbacks

    @property
    def total_steps(self) -> int:
        """Steps that the run has at its end, as far as the settings determine them."""
        return self._trainer.total_steps

    @property
    def done(self) -> bool:
        """True once the last step is done."""
        return self._trainer.done

    @property
    def fresh(self) -> bool:
        """True if the run starts at step 0 in this process, without a checkpoint."""
        return self.step == 0 and not self._trainer.resumed

    @property
    def config(self) -> "RunConfig":
        """The config in force; in a run with phases, that of the current phase."""
        return self._trainer.model.config

    @property
    def run(self) -> "Run":
        """The run folder."""
        return self._trainer.run

    @property
    def model(self) -> "GenerativeModel":
        """The model that is trained."""
        return self._trainer.model

    @property
    def data(self) -> "Data":
        """The data that the model is trained on."""
        return self._trainer.data

    @property
    def signals(self) -> Mapping[str, float]:
        """The newest value of every signal that the updates recorded."""
        return self._trainer.updater.latest

    @property
    def unwritten(self) -> set[str]:
        """Names of the signals that wait for the next row."""
        return set(self._trainer.recorder.window.sums)

    @property
    def diagnosis(self) -> "Diagnosis | None":
        """The newest diagnosis of this process."""
        return self._trainer.diagnosis

    @property
    def verdict(self) -> str:
        """The newest verdict: ``healthy``, ``suspect``, ``sick``, ``crashed`` or ``unknown``."""
        return self.diagnosis.verdict if self.diagnosis is not None else "unknown"

    @property
    def fabric(self) -> "Fabric":
        """Device, precision and processes."""
        return self._trainer.fabric

    @property
    def is_main(self) -> bool:
        """True on the process that writes files."""
        return self._trainer.main

    def due(self, every: int) -> bool:
        """Return whether an action with this interval in steps is due; at the last step the final measurements replace it."""
        return not self.done and self.step % every == 0

    def seconds(self, purpose: str | None = None) -> float:
        """Return the seconds that this process spent on ``step``, ``data``, ``monitor`` or ``checkpoint``; None: on all."""
        spent = self._trainer.clock.whole
        return sum(spent.values()) if purpose is None else spent.get(purpose, 0.0)

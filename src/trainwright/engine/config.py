"""The ``train`` section of every recipe, and the base of every family's config."""

from typing import ClassVar, Literal

from pydantic import model_validator

from trainwright.config.base import Config, setting
from trainwright.config.schedules import Rate
from trainwright.engine.controllers.settings import ControllerSettings
from trainwright.engine.phases import Phase, effective
from trainwright.errors import UserError


class PlateauSettings(Config):
    """Early stopping and lower learning rates on a plateau of a held-out signal; both are off without a patience."""

    monitor: str = setting("validation/loss", "Held-out signal that should fall.", hot=True)
    min_delta: float = setting(1e-4, "A smaller fall does not count as an improvement.", hot=True, ge=0)
    early_stopping_patience: int | None = setting(
        None, "Patience: epochs without improvement before the run ends.", hot=True, ge=1
    )
    reduce_lr_patience: int | None = setting(
        None, "Patience: epochs without improvement before learning rates are lowered.", hot=True, ge=1
    )
    reduce_lr_factor: float = setting(
        0.5, "Factor on every learning rate, each time it is lowered.", hot=True, gt=0, lt=1
    )
    min_lr: float = setting(1e-6, "No learning rate is lowered below this.", hot=True, ge=0)

    @property
    def on(self) -> bool:
        """True if early stopping or the lowering of learning rates is on."""
        return self.early_stopping_patience is not None or self.reduce_lr_patience is not None


class TrainConfig(Config):
    """Length of a run, cadence of measurements, reaction to failures, and devices."""

    seed: int = setting(0, "Seed from which all random numbers are derived.", ge=0, lt=2**31)
    epochs: float = setting(1000.0, "Length of the run in passes through the training data.", hot=True, gt=0)
    steps: int | None = setting(None, "Length of the run in steps; overrides `epochs` if given.", hot=True, ge=1)
    batch_size: int = setting(
        64, "Samples per step, summed over all processes.", hot=True, ge=2, le=65536, aliases=("BATCH_SIZE",)
    )
    overfit_one_batch: bool = setting(
        False,
        "Train on the first batch at every step, to test whether the networks can memorise it.",
        hot=True,
        formerly={"constant_batch": {}},
    )
    max_grad_norm: Rate | None = setting(
        None, "Clip the gradient of each parameter group to this norm; null: no clipping.", hot=True
    )
    on_nonfinite: Literal["stop", "rollback"] = setting(
        "stop",
        "After a NaN or infinity: stop, or return to the last checkpoint and take another random path.",
        hot=True,
    )
    max_rollbacks: int = setting(3, "Number of rollbacks after which a run gives up.", hot=True, ge=1)
    log_every: int = setting(
        10, "Steps between rows of metrics.jsonl (each row holds means since the last).", hot=True, ge=1
    )
    sample_every: int = setting(500, "Steps between sample grids.", hot=True, ge=1)
    sample_count: int = setting(64, "Images in a sample grid.", hot=True, ge=1, le=1024)
    validate_every: int = setting(
        200,
        "Steps between measurements on held-out data, samples and weights.",
        hot=True,
        ge=1,
        formerly={"heldout_every": {}},
    )
    probe_count: int = setting(
        128, "Samples that each probe compares with real images; 0: no probes.", hot=True, ge=0, le=4096
    )
    probe_stride: int | None = setting(
        None,
        "Validations per probe of samples, regardless of cost; null: as often as the monitoring budget allows.",
        hot=True,
        ge=1,
    )
    monitor_budget: float = setting(
        0.01, "Share of training time that monitoring may take.", hot=True, gt=0, le=1, formerly={"watch_budget": {}}
    )
    on_failure: Literal["stop_if_certain", "stop", "continue"] = setting(
        "stop_if_certain",
        "Reaction to the doctor's findings. `stop_if_certain`: end the run after a failure that does not recover by itself (a dead "
        "critic, a network that does not change, a generator that is never updated). `stop`: end it after any finding that makes "
        "the run sick. `continue`: report only.",
        hot=True,
        formerly={"on_sick": {"stop": "stop_if_certain", "stop_early": "stop", "go_on": "continue"}},
    )
    checkpoint_every: int = setting(500, "Steps between checkpoints.", hot=True, ge=1)
    keep_checkpoints: int = setting(
        3, "Number of newest checkpoints to keep; the last healthy one is never deleted.", hot=True, ge=1
    )
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = setting("auto", "Kind of device.", hot=True)
    devices: int = setting(1, "Number of devices (on a CPU: processes) that train together.", hot=True, ge=1, le=1024)
    precision: Literal["32-true", "bf16-mixed"] = setting(
        "32-true", "Precision of forward and backward; gradient penalties stay in 32 bits.", hot=True
    )
    threads: int | None = setting(
        None, "CPU threads per process; null: all cores, divided among processes.", hot=True, ge=1, le=1024
    )
    tracker: Literal["tensorboard", "wandb", "mlflow", "trackio", "none"] = setting(
        "tensorboard", "Tracker that gets the signals in addition to the run folder's own files.", hot=True
    )
    plateau: PlateauSettings = PlateauSettings()


class RunConfig(Config):
    """Settings of every recipe. Families add sections of their own; ``prescribing`` names settings that set others."""

    prescribing: ClassVar[frozenset[str]] = frozenset()

    family: str = setting("", "Family of the model that the recipe trains.")
    recipe: str = setting("", "Name of the recipe that the settings started from.", hot=True)
    hypothesis: str = setting("", "What this run is expected to show, in one sentence.", hot=True)
    train: TrainConfig = TrainConfig()
    controller: ControllerSettings = ControllerSettings()
    phases: list[Phase] = setting([], "Phases of the run, each with its own settings and gate.", hot=True)

    def resolved(self, given: frozenset[tuple[str, ...]] = frozenset()) -> "RunConfig":
        """Return this config with settings that other files prescribe, for families whose recipes name such files.

        Args:
            given: paths of the settings that a user typed; they win.
        """
        return self

    def beforehand(self) -> str:
        """Return a sentence for the user on what opening the data does in addition to reading; empty if nothing."""
        return ""

    @model_validator(mode="after")
    def _phases_are_sound(self) -> "RunConfig":
        names = [phase.name for phase in self.phases]
        if len(set(names)) < len(names):
            raise ValueError("two phases have the same name")
        for index in range(len(names)):
            try:
                effective(self, index)
            except UserError as error:
                raise ValueError(str(error)) from None
        return self

    @model_validator(mode="after")
    def _processes_share_a_batch(self) -> "RunConfig":
        if self.train.batch_size % self.train.devices:
            raise ValueError(
                f"train.batch_size ({self.train.batch_size}) must be a multiple of train.devices ({self.train.devices})"
            )
        return self

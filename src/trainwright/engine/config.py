"""The ``train`` section that every recipe has, and the base of every family's recipe."""

from typing import ClassVar, Literal

from pydantic import model_validator

from trainwright.config.base import Config, setting
from trainwright.config.schedules import Rate
from trainwright.engine.controllers.settings import ControllerSettings
from trainwright.engine.phases import Phase, effective
from trainwright.errors import UserError


class PlateauSettings(Config):
    """Early stopping and lower learning rates when held-out data no longer improve; both are off unless a patience is given."""

    monitor: str = setting("validation/loss", "The signal of held-out data that should fall.", hot=True)
    min_delta: float = setting(1e-4, "A smaller fall does not count as better.", hot=True, ge=0)
    early_stopping_patience: int | None = setting(
        None, "End the run after so many epochs without a better one.", hot=True, ge=1
    )
    reduce_lr_patience: int | None = setting(
        None, "Lower every learning rate after so many epochs without a better one.", hot=True, ge=1
    )
    reduce_lr_factor: float = setting(0.5, "Factor on every learning rate each time.", hot=True, gt=0, lt=1)
    min_lr: float = setting(1e-6, "No learning rate is lowered below this.", hot=True, ge=0)

    @property
    def on(self) -> bool:
        """Whether anything looks at the signal."""
        return self.early_stopping_patience is not None or self.reduce_lr_patience is not None


class TrainConfig(Config):
    """How long, how often, how careful and where."""

    seed: int = setting(0, "Everything random is derived from it.", ge=0, lt=2**31)
    epochs: float = setting(1000.0, "Length of the run in passes through the training data.", hot=True, gt=0)
    steps: int | None = setting(None, "Length of the run in steps; overrules `epochs` if given.", hot=True, ge=1)
    batch_size: int = setting(
        64, "Samples per step, over all processes together.", hot=True, ge=2, le=65536, aliases=("BATCH_SIZE",)
    )
    overfit_one_batch: bool = setting(
        False,
        "Show the first batch at every step: whether a network can learn even that one by heart.",
        hot=True,
        formerly={"constant_batch": {}},
    )
    max_grad_norm: Rate | None = setting(None, "Clip each group's gradient to this norm; null: no clipping.", hot=True)
    on_nonfinite: Literal["stop", "rollback"] = setting(
        "stop",
        "After a NaN or infinity: stop, or go back to the last checkpoint and take another random path.",
        hot=True,
    )
    max_rollbacks: int = setting(3, "With `rollback`: give up after so many.", hot=True, ge=1)
    log_every: int = setting(
        10, "Steps between rows of metrics.jsonl (each row is the mean since the last).", hot=True, ge=1
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
        128, "Samples that are held beside real images at each look; 0: none.", hot=True, ge=0, le=4096
    )
    probe_stride: int | None = setting(
        None,
        "Look at samples at every so many-th look at held-out data, whatever it costs; null: as often as the watch budget allows.",
        hot=True,
        ge=1,
    )
    monitor_budget: float = setting(
        0.01, "Share of the time that watching may take.", hot=True, gt=0, le=1, formerly={"watch_budget": {}}
    )
    on_failure: Literal["stop_if_certain", "stop", "continue"] = setting(
        "stop_if_certain",
        "What the doctor's findings do. `stop_if_certain`: end the run after a failure that does not recover by itself (a dead "
        "critic, a network that does not move, a generator that is never updated); `stop`: after any finding that makes the run "
        "sick; `continue`.",
        hot=True,
        formerly={"on_sick": {"stop": "stop_if_certain", "stop_early": "stop", "go_on": "continue"}},
    )
    checkpoint_every: int = setting(500, "Steps between checkpoints.", hot=True, ge=1)
    keep_checkpoints: int = setting(
        3, "Newest checkpoints that are kept; the last healthy one is never deleted.", hot=True, ge=1
    )
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = setting("auto", "Kind of device.", hot=True)
    devices: int = setting(1, "Devices (on a CPU: processes) to train on together.", hot=True, ge=1, le=1024)
    precision: Literal["32-true", "bf16-mixed"] = setting(
        "32-true", "Arithmetic of forward and backward; gradient penalties stay in 32 bits.", hot=True
    )
    threads: int | None = setting(None, "CPU threads a process; null: all cores shared out.", hot=True, ge=1, le=1024)
    tracker: Literal["tensorboard", "wandb", "none"] = setting(
        "tensorboard", "Where signals go besides the run folder's own files.", hot=True
    )
    plateau: PlateauSettings = PlateauSettings()


class RunConfig(Config):
    """What every recipe has. Families add sections of their own; ``prescribing`` are settings that prescribe others."""

    prescribing: ClassVar[frozenset[str]] = frozenset()

    family: str = setting("", "The family that the recipe trains.")
    recipe: str = setting("", "Name of the recipe that the settings started from.", hot=True)
    hypothesis: str = setting("", "What this run is expected to show, in one sentence.", hot=True)
    train: TrainConfig = TrainConfig()
    controller: ControllerSettings = ControllerSettings()
    phases: list[Phase] = setting([], "Stretches of the run with settings and gates of their own.", hot=True)

    def resolved(self, given: frozenset[tuple[str, ...]] = frozenset()) -> "RunConfig":
        """The same with what other files prescribe, for families whose recipes name such; ``given`` are the paths that a user typed."""
        return self

    def beforehand(self) -> str:
        """What opening the data may do beside reading it, in a sentence for the user; empty if nothing."""
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

"""The contract between a family and the trainer: networks in groups, one step, samples, held-out signals, data."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from trainwright.config.schedules import Schedule, value
from trainwright.engine.config import RunConfig
from trainwright.engine.distributed import same_everywhere
from trainwright.randomness import derive

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from trainwright.engine.family import Family

Terms = Mapping[str, tuple[float, Tensor]]
Progress = Callable[[int, int], None]


class Data(Protocol):
    """Interface of a data set."""

    @property
    def identity(self) -> str:
        """A hash that is equal for equal data."""
        ...

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(name, reason) of every file that was skipped."""
        ...

    def __len__(self) -> int:
        """Number of training samples."""
        ...

    def fetch(self, seed: int, start: int, size: int) -> np.ndarray:
        """The raw batch at position ``start`` of the endless shuffled stream; a pure function."""
        ...

    def prepare(self, raw: Tensor) -> Tensor:
        """Return the augmented batch of a raw batch on the device; random numbers come from :mod:`trainwright.randomness`."""
        ...

    def some(self, part: str, count: int) -> Tensor:
        """Up to ``count`` fixed samples of ``train`` or ``held_out``, not augmented."""
        ...

    def images(self, part: str, count: int) -> Tensor:
        """Images (n, C, H, W) in [-1, 1] of the same samples; the model's samples are compared with them."""
        ...


@dataclass(frozen=True)
class View:
    """A grid of images (n, C, H, W) in [-1, 1] with ``columns`` images per row."""

    images: Tensor
    columns: int


@dataclass
class ParamGroup:
    """Networks that one optimizer trains together.

    Attributes:
        networks: names in ``GenerativeModel.networks``.
        optimizer: over exactly their parameters.
        lr: learning-rate schedule, applied at every update, so that a changed config takes effect on resume.
        settings: optimizer settings other than the rate (``betas``), applied in the same way; a sequence, if the optimizer's
            parameter groups differ in them.
        ema_decay: decay of the averaged copy after the n-th update of this group (n from 1); None: no copy.
    """

    networks: tuple[str, ...]
    optimizer: torch.optim.Optimizer
    lr: Schedule
    settings: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ema_decay: Callable[[int], float] | None = None


class StepContext(Protocol):
    """The position of a step in the run, and its two actions: update a group, record a signal."""

    step: int
    epoch: float

    def update(self, group: str, **terms: tuple[float, Tensor]) -> None:
        """Take one optimizer step of ``group`` on the sum of weight x raw term; see ``engine/update.py``."""
        ...

    def record(self, **signals: Tensor) -> None:
        """Record signals that are not loss terms; ``__`` in a name stands for ``/``."""
        ...


def now(schedule: Schedule, context: StepContext) -> float:
    """Return the value of ``schedule`` at this step of the run."""
    return value(schedule, context.step, context.epoch)


class GenerativeModel(ABC):
    """A family built from one config.

    Subclasses set ``networks`` and ``groups`` in ``__init__``, on the CPU, after torch was seeded. ``training_step`` may draw from
    :mod:`trainwright.randomness` anywhere: the trainer seeds it for each step, and several processes together draw the numbers that
    one process would. torch's own functions are seeded too, differently in each process.
    """

    networks: dict[str, nn.Module]
    groups: dict[str, ParamGroup]
    losses_csv: ClassVar[Mapping[str, str]] = {}  # column of losses.csv -> signal; epoch means
    samples_are_images: ClassVar[bool] = (
        True  # False if samples are drawn from other data, so that texture and colour mean nothing
    )
    headline: ClassVar[Mapping[str, str]] = {}  # label on the status line -> signal
    roles: ClassVar[Mapping[str, str]] = {}  # role that a controller reads -> signal; see engine/controllers/base.py

    def __init__(self, config: RunConfig) -> None:
        self.config: Any = config
        self.averaged: dict[str, nn.Module] = {}  # EMA copies, filled by the updates

    @staticmethod
    @abstractmethod
    def open_data(config: Any, progress: Progress | None = None) -> Data:
        """Open the data set that ``config`` names."""

    @abstractmethod
    def training_step(self, batch: Tensor, context: StepContext) -> None:
        """Take one step on one batch: compute raw loss terms and pass them to ``context.update``."""

    @abstractmethod
    def sample(self, count: int, seed: int, averaged: bool = True) -> Tensor:
        """Return ``count`` samples in [-1, 1], a pure function of weights and seed; the training state does not change."""

    def as_files(self, count: int, seeds: Sequence[int], averaged: bool = True) -> dict[str, bytes]:
        """Return what :meth:`sample` draws with ``count`` and each seed in the file format of the data, by file name.

        For families whose images are only drawings of their samples.
        """
        return {}

    def export(self, folder: Path, averaged: bool = True) -> str:
        """Write the trained model into an empty folder in a format that other programs load, if the family has one.

        Without one, :func:`trainwright.engine.inference.export` writes a small run folder instead.

        Returns:
            How to load it; ``{folder}`` stands for the final folder. Empty, with nothing written, if the family has no such format.
        """
        return ""

    def adapt_to_data(self, data: Data) -> None:
        """Set buffers that depend on the training data before the first step, such as a normalisation."""
        return None

    def prepare_monitoring(self, data: Any) -> None:  # noqa: B027
        """Run one-time setup of measurements before the first step, so that it is not counted as monitoring."""

    def prepare_sampling(self, data: Data) -> None:
        """Update buffers that only :meth:`sample` uses; called on every process before a grid is drawn."""
        return None

    def validation_loss(self, data: Data, step: int, epoch: float) -> dict[str, float]:
        """Return the objective on held-out data, named ``validation/...``, for early stopping and plateaus once an epoch.

        ``step`` and ``epoch`` determine the loss weights that the schedules have in force.

        Must not touch weights or torch's global generator.
        """
        return {}

    def validate(self, data: Data) -> dict[str, float]:
        """Return signals of held-out compared with training data; must not touch weights or torch's global generator."""
        return {}

    def probe(self, data: Data, count: int, seed: int) -> dict[str, float]:
        """Return further signals of ``count`` samples compared with real data; the rules of :meth:`validate` apply."""
        return {}

    def views(self, data: Data) -> dict[str, View]:
        """Return further image grids by name, such as originals above reconstructions."""
        return {}

    def facts(self, data: Data) -> dict[str, Any]:
        """Return plain values for preflight and doctor in addition to signals and settings.

        See :mod:`trainwright.diagnosis.history`.
        """
        return {}

    def evaluate(self, data: Data) -> list[dict[str, Any]]:
        """Return rows that ``trainwright evaluate`` adds to the metrics of samples; see :mod:`trainwright.metrics.evaluate`."""
        return []

    @property
    def device(self) -> torch.device:
        """The device of the networks."""
        return next(next(iter(self.networks.values())).parameters()).device

    def network(self, name: str, averaged: bool) -> nn.Module:
        """Return the averaged copy of a network if ``averaged`` and it exists, else the network itself."""
        return self.averaged.get(name, self.networks[name]) if averaged else self.networks[name]


def build(family: "Family", config: RunConfig, fabric: "Fabric | None" = None) -> GenerativeModel:
    """Return the model of a config, its first weights derived from the seed, on Fabric's device if one is given."""
    torch.manual_seed(derive("weights", config.train.seed))
    model = family.load(config)(config)
    if fabric is not None:
        for network in model.networks.values():
            fabric.to_device(network)
        same_everywhere(fabric, list(model.networks.values()))
    return model

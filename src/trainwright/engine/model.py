"""The contract between a family and the loop: networks in groups, one step, samples, held-out signals, data."""

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
from trainwright.errors import UserError
from trainwright.randomness import derive

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from trainwright.engine.family import Family

Terms = Mapping[str, tuple[float, Tensor]]
Progress = Callable[[int, int], None]


class Data(Protocol):
    """What the loop asks of a data set."""

    @property
    def identity(self) -> str:
        """A hash: equal for equal data."""
        ...

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(name, reason) of every file that was passed over."""
        ...

    def __len__(self) -> int:
        """Number of training samples."""
        ...

    def fetch(self, seed: int, start: int, size: int) -> np.ndarray:
        """The raw batch at position ``start`` of the endless shuffled stream; a pure function."""
        ...

    def prepare(self, raw: Tensor) -> Tensor:
        """Raw batch on the device -> augmented batch; random numbers from :mod:`trainwright.randomness`."""
        ...

    def some(self, part: str, count: int) -> Tensor:
        """Up to ``count`` fixed samples of ``train`` or ``held_out``, not augmented."""
        ...

    def images(self, part: str, count: int) -> Tensor:
        """The images that those samples stand for, (n, C, H, W) in [-1, 1]: what samples are judged beside."""
        ...


@dataclass(frozen=True)
class View:
    """A grid of images (n, C, H, W) in [-1, 1] with so many in a row."""

    images: Tensor
    columns: int


@dataclass
class ParamGroup:
    """Networks that one optimizer trains together.

    Attributes:
        networks: names in ``GenerativeModel.networks``.
        optimizer: over exactly their parameters.
        lr: learning-rate schedule, put into force at every update, so a changed config takes effect on resume.
        settings: optimizer settings beside the rate (``betas``), put into force in the same way; several, if the optimizer's
            parameter groups differ in them.
        ema_decay: decay of the averaged copy after the n-th update of this group (n from 1); None: no copy.
    """

    networks: tuple[str, ...]
    optimizer: torch.optim.Optimizer
    lr: Schedule
    settings: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ema_decay: Callable[[int], float] | None = None


class StepContext(Protocol):
    """Where in the run a step is, and the two things it may do there: update a group, record a signal."""

    step: int
    epoch: float

    def update(self, group: str, **terms: tuple[float, Tensor]) -> None:
        """One optimizer step of ``group`` on the sum of weight x raw term; see ``train/update.py``."""
        ...

    def record(self, **signals: Tensor) -> None:
        """Records signals that are not terms; ``__`` in a name stands for ``/``."""
        ...


def now(schedule: Schedule, context: StepContext) -> float:
    """The value of ``schedule`` at this moment of the run."""
    return value(schedule, context.step, context.epoch)


class GenerativeModel(ABC):
    """A family built from one config.

    Subclasses set ``networks`` and ``groups`` in ``__init__`` (on the CPU, after the loop has seeded torch) and may
    draw from :mod:`trainwright.randomness` anywhere in ``step``: the loop seeds it for each step, and several processes draw what one
    would. torch's own functions are seeded too, differently in each process.
    """

    networks: dict[str, nn.Module]
    groups: dict[str, ParamGroup]
    losses_csv: ClassVar[Mapping[str, str]] = {}  # column of losses.csv -> signal; epoch means
    samples_are_images: ClassVar[bool] = (
        True  # whether texture and colour of samples mean anything; not if they are drawings of something
    )
    headline: ClassVar[Mapping[str, str]] = {}  # label on the status line -> signal
    roles: ClassVar[Mapping[str, str]] = {}  # what a controller looks at -> signal; see train/controller/base.py

    def __init__(self, config: RunConfig) -> None:
        self.config: Any = config
        self.averaged: dict[str, nn.Module] = {}  # EMA copies, filled by the loop

    @staticmethod
    @abstractmethod
    def open_data(config: Any, progress: Progress | None = None) -> Data:
        """The data set that ``config`` names."""

    @abstractmethod
    def training_step(self, batch: Tensor, context: StepContext) -> None:
        """One step on one batch: computes raw terms, hands them to ``context.update``."""

    @abstractmethod
    def sample(self, count: int, seed: int, averaged: bool = True) -> Tensor:
        """``count`` samples in [-1, 1], a pure function of weights and seed; leaves training as it was."""

    def as_files(self, count: int, seeds: Sequence[int], averaged: bool = True) -> dict[str, bytes]:
        """What :meth:`sample` draws with ``count`` and each of the seeds, by file name in the form that data come in; for families
        whose images are only drawings of their samples.
        """
        return {}

    def export(self, folder: Path, averaged: bool = True) -> str:
        """Writes the trained model into an empty folder in a form that others load.

        Returns:
            How to load it; ``{folder}`` stands for where it will lie.

        Raises:
            UserError: the family has no such form.
        """
        raise UserError(f"the family of this run ({self.config.family}) has no form that other programs load.")

    def adapt_to_data(self, data: Data) -> None:
        """Sets what the networks take from the training data before the first step (a normalisation, say), in buffers."""
        return None

    def prepare_monitoring(self, data: Any) -> None:  # noqa: B027
        """Pays before the first step for what only a first look has to pay for: libraries, features of real data."""

    def prepare_sampling(self, data: Data) -> None:
        """Brings buffers that only :meth:`sample` uses up to date; called on every process before a grid is drawn."""
        return None

    def validation_loss(self, data: Data, step: int, epoch: float) -> dict[str, float]:
        """The objective on held-out data, named ``validation/...``: what early stopping and plateaus look at, once an epoch.

        ``step`` and ``epoch`` tell which weights the schedules have in force.

        Must not touch weights or torch's global generator.
        """
        return {}

    def validate(self, data: Data) -> dict[str, float]:
        """Signals measured on held-out beside training data; must not touch weights or torch's global generator."""
        return {}

    def probe(self, data: Data, count: int, seed: int) -> dict[str, float]:
        """Further signals of ``count`` samples beside real data, looked at as often as samples; rules as for :meth:`validate`."""
        return {}

    def views(self, data: Data) -> dict[str, View]:
        """Further image grids beside the samples, by name: originals over reconstructions, say."""
        return {}

    def facts(self, data: Data) -> dict[str, Any]:
        """Plain values that preflight and doctor should know beside signals and settings; see :mod:`trainwright.diagnosis.history`."""
        return {}

    def evaluate(self, data: Data) -> list[dict[str, Any]]:
        """Rows that ``trainwright evaluate`` adds to the metrics of samples; see :mod:`trainwright.metrics.evaluate`."""
        return []

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(next(iter(self.networks.values())).parameters()).device

    def network(self, name: str, averaged: bool) -> nn.Module:
        """The averaged copy of a network if wanted and kept, else the network itself."""
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

"""Preflight of a recipe: checks of settings and data, and of the untrained networks within a few seconds."""

import copy
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from trainwright.config.base import flatten
from trainwright.diagnosis.checks import Check, Inspect, PlannedRun, run_checks
from trainwright.diagnosis.probes.samples import texture
from trainwright.engine.callbacks.diagnosis import facts_of
from trainwright.engine.config import RunConfig
from trainwright.engine.distributed import SingleProcess
from trainwright.engine.family import Family
from trainwright.engine.model import Data, GenerativeModel, build
from trainwright.engine.recorder import Recorder
from trainwright.engine.update import Updater
from trainwright.errors import NonFinite
from trainwright.randomness import seed_step

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SECONDS = 1.0  # time limit of the learning-rate probe
STEPS = 50
SEEN = 16
FEW = 4  # samples of the first step, and of every step if a whole batch would take too long


def preflight(
    model: GenerativeModel, data: Data, checks: Sequence[Inspect] = (), seconds: float = SECONDS
) -> list[Check]:
    """Check a model on its data before the first step. The model is trained for a moment, so give a copy.

    Args:
        model: built from its config and adapted to the data; not to be used afterwards.
        data: what it will be trained on.
        checks: the family's own, in ``Family.checks``.
        seconds: time limit of the learning-rate probe.

    Returns:
        Checks, worst first.
    """
    config = model.config
    fabric = cast("Fabric", SingleProcess(config.train))  # the check needs no other processes
    with torch.random.fork_rng(devices=[]):
        facts = facts_of(model, data)
        facts |= {**_untrained(model, data, "transposed" in facts), **_steps(model, data, fabric, seconds)}
    return run_checks(PlannedRun(flatten(config), facts, _length(config, data)), checks)


def copied(model: GenerativeModel) -> GenerativeModel:
    """Return an independent copy of a model with its optimizers.

    ``copy.deepcopy`` keeps of an optimizer only what PyTorch pickles, so attributes of a subclass are copied here.
    """
    memo: dict[int, Any] = {}
    for group in model.groups.values():
        _copy_optimizer(group.optimizer, memo)
    return copy.deepcopy(model, memo)


def _copy_optimizer(optimizer: torch.optim.Optimizer, memo: dict[int, Any]) -> torch.optim.Optimizer:
    if id(optimizer) in memo:
        return cast("torch.optim.Optimizer", memo[id(optimizer)])
    new = copy.deepcopy(optimizer, memo)
    for name, value in vars(optimizer).items():
        if name not in vars(new):
            inner = isinstance(value, torch.optim.Optimizer)
            setattr(new, name, _copy_optimizer(value, memo) if inner else copy.deepcopy(value, memo))
    return new


def preflight_of(family: Family, config: RunConfig, data: Data, seconds: float = SECONDS) -> list[Check]:
    """Check a config on its data with a model that is built for this."""
    with torch.random.fork_rng(devices=[]):
        model = build(family, config)
        model.adapt_to_data(data)
    return preflight(model, data, family.checks, seconds)


def _length(config: RunConfig, data: Data) -> int:
    steps = config.train.steps
    return int(steps) if steps is not None else round(config.train.epochs * len(data) / config.train.batch_size)


def _untrained(model: GenerativeModel, data: Data, upsamples: bool) -> dict[str, Any]:
    real = data.images("train", SEEN)
    model.prepare_sampling(data)
    fake = model.sample(SEEN, seed=0, averaged=False).float().cpu()
    found: dict[str, Any] = {"data_range": [float(real.min()), float(real.max())], "output_range": [-1.0, 1.0]}
    if upsamples and float(fake.std()) > 1e-6:
        found["initial/lattice"] = texture(fake)["lattice"]
    return found


class _ProbeContext:
    """Context of a step of the learning-rate probe, whose networks are discarded."""

    def __init__(self, updater: Updater, step: int, epoch: float) -> None:
        self.updater, self.step, self.epoch = updater, step, epoch

    def update(self, group: str, **terms: tuple[float, Tensor]) -> None:
        """Take one optimizer step."""
        self.updater(group, terms, self.step, self.epoch)

    def record(self, **signals: Tensor) -> None:
        """Ignore the signals."""


def _steps(model: GenerativeModel, data: Data, fabric: Any, seconds: float) -> dict[str, Any]:
    """Take up to 50 steps within the time limit, and return loss growth and each term's gradient share."""
    settings, recorder = model.config.train, Recorder()
    updater = Updater(model, fabric, recorder, settings.max_grad_norm)
    begin, sizes, shares, finite, done = time.perf_counter(), [], {}, True, 0
    updater.to_inspect = set(model.groups)
    size = min(FEW, settings.batch_size)
    for step in range(STEPS):
        seed_step(settings.seed, step, salt=0)
        raw = torch.from_numpy(data.fetch(settings.seed, step * settings.batch_size, size))
        try:
            model.training_step(
                data.prepare(fabric.to_device(raw)),
                _ProbeContext(updater, step, step * settings.batch_size / len(data)),
            )
        except NonFinite:
            finite = False
            break
        row = recorder.window.take()
        shares.update({n.removeprefix("gradient_share/"): v for n, v in row.items() if n.startswith("gradient_share/")})
        sizes.append(max(abs(v) for n, v in row.items() if n.endswith("/loss") and n.count("/") == 1))
        done = step + 1
        spent = time.perf_counter() - begin
        if spent > seconds:
            break
        if step == 1 and spent / (2 * size) * settings.batch_size * STEPS < 2 * seconds:
            size = settings.batch_size
    growth = max(sizes[-3:], default=0.0) / max(max(sizes[:3], default=1.0), 1.0)
    return {"initial/gradient_shares": shares, "initial/lr_probe": {"steps": done, "finite": finite, "growth": growth}}

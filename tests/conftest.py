"""Shared by all tests: one thread, a cache of their own, and small folders of real sprites."""

import functools
import gc
import os
from pathlib import Path

import pytest
import torch

from trainwright import catalog as registry
from trainwright.data.sources import items
from trainwright.engine.display import Silent
from trainwright.engine.session import Outcome, train
from trainwright.runs.folder import Run

SMOKE = (
    "steps=6",
    "log_every=2",
    "validate_every=3",
    "sample_every=3",
    "sample_count=4",
    "checkpoint_every=2",
    "probe_stride=1",
)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory):
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    base = tmp_path_factory.getbasetemp()
    several = "PYTEST_XDIST_WORKER" in os.environ  # test processes, which share what is made once
    os.environ["TRAINWRIGHT_CACHE"] = str((base.parent if several else base) / "cache")
    yield


@pytest.fixture(scope="session")
def sprites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 real sprites as PNG files in nested folders."""
    folder = tmp_path_factory.mktemp("sprites")
    for item in items("sprites")[:200:5]:
        file = folder / f"{item.name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        item.open().save(file)
    return folder


@pytest.fixture
def quick(tmp_path: Path, sprites: Path):
    """Trains any recipe at smoke size: ``quick("wgan_gp/small", "steps=4", run=...)``."""

    def go(title: str, *overrides: str, run: Path | None = None, stop=lambda: False) -> Outcome:
        family, config = quick_config(title, sprites, *overrides)
        return train(family, config, Run(run or tmp_path / "run"), Silent(), stop)

    return go


@pytest.fixture(scope="session")
def finished(sprites: Path, tmp_path_factory: pytest.TempPathFactory):
    """The finished run of a recipe at smoke size, trained once: ``finished("wgan_gp/small", "steps=8")``. Only to be read or copied."""

    @functools.cache
    def get(title: str, *overrides: str) -> Outcome:
        family, config = quick_config(title, sprites, *overrides)
        return train(family, config, Run(tmp_path_factory.mktemp("finished") / "run"), Silent())

    return get


def quick_config(title: str, sprites: Path, *overrides: str):
    """A recipe shrunk for tests, on real sprites, or on its own data where images will not do."""
    family = registry.family(title.split("/")[0])
    data = [f"data={sprites}"] if family.trains_on == "images" else []
    words = (*family.smoke, *SMOKE, *data, "tracker=none", *overrides)
    return registry.load(title, words)


def all_tensors(run: Run) -> dict[str, torch.Tensor]:
    """Everything in the newest checkpoint."""
    from trainwright.engine import checkpoint

    return checkpoint.load_tensors(checkpoint.latest(run.checkpoints).folder / checkpoint.TENSORS)


def signals(run: Run) -> list[dict]:
    """The rows of metrics.jsonl without the timings."""
    from trainwright.runs.folder import read_lines

    rows = read_lines(run.metrics)
    return [{k: v for k, v in row.items() if not k.startswith(("speed/", "monitor/"))} for row in rows]


@pytest.fixture(autouse=True)
def _few_objects():
    """Hide what earlier tests left: a watch searches all objects, and a test process holds millions."""
    gc.collect()
    gc.freeze()
    yield

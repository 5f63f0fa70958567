"""A trained model for sampling: built from a run's config, with the weights of its newest good checkpoint."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from trainwright.engine import checkpoint as checkpoints
from trainwright.engine.ema import averaged_copy
from trainwright.engine.family import Family
from trainwright.engine.model import GenerativeModel, build
from trainwright.engine.phases import effective
from trainwright.engine.session import read_config
from trainwright.errors import UserError
from trainwright.files import sha256, write_json
from trainwright.randomness import derive
from trainwright.runs import legacy
from trainwright.runs.folder import Run
from trainwright.shims import keep_freed_memory

CHUNK = 64


@dataclass(frozen=True)
class Trained:
    """A model whose weights come from a checkpoint."""

    model: GenerativeModel
    step: int
    has_average: bool
    phases: dict[str, Any] | None = None

    def samples(self, count: int, seed: int, averaged: bool = True) -> Iterator[Tensor]:
        """Yield ``count`` samples in parts (n, C, H, W) in [-1, 1], n up to 64.

        Sample i depends on ``seed`` and i alone.
        """
        for own in self._seeds(count, seed):
            yield self.model.sample(CHUNK, own, averaged)[:count]
            count -= CHUNK

    def files(self, count: int, seed: int, averaged: bool = True) -> dict[str, bytes]:
        """Return at least these samples (whole parts) in the file format of the data, by file name.

        See :meth:`GenerativeModel.as_files`.
        """
        return self.model.as_files(CHUNK, self._seeds(count, seed), averaged)

    @staticmethod
    def _seeds(count: int, seed: int) -> list[int]:
        return [derive("sample", seed, part) for part in range(-(-count // CHUNK))]


def load(family: Family, run: Run, best: bool = False) -> Trained:
    """Return the model of a run's newest good checkpoint on the best device of this machine.

    Args:
        family: of the run.
        run: the run folder.
        best: take the checkpoint with the best held-out objective instead.

    Raises:
        UserError: no usable checkpoint, or one that does not fit; nothing in it is executed.
    """
    keep_freed_memory()
    if best and not run.best.is_dir():
        raise UserError(
            f"{run.folder} has no best checkpoint, because that needs a patience in train.plateau. Run the command without --best."
        )
    checkpoint = checkpoints.latest(run.best if best else run.checkpoints)
    config, schedule = read_config(family, run), legacy.checkpoint_state(checkpoint.state).get("phases")
    model = build(family, effective(config, schedule["index"]) if schedule else config)
    tensors = checkpoints.load_tensors(checkpoint.folder / checkpoints.TENSORS)
    for name, network in model.networks.items():
        prefix = f"average.{name}."
        if any(key.startswith(prefix) for key in tensors):
            model.averaged[name] = averaged_copy(network)
            checkpoints.restore_network(model.averaged[name], tensors, prefix, checkpoint.folder)
        checkpoints.restore_network(network, tensors, f"network.{name}.", checkpoint.folder)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for network in (*model.networks.values(), *model.averaged.values()):
        network.to(device).eval()
    return Trained(model, checkpoint.step, bool(model.averaged), schedule)


def export(trained: Trained, run: Run, folder: Path, averaged: bool) -> str:
    """Write a trained model into an empty folder: in the family's own form, else as a small run folder without optimizer state.

    Returns:
        How to load it; ``{folder}`` stands for the final folder.
    """
    model = trained.model
    how = model.export(folder, averaged)
    if how:
        return how
    networks = {name: model.network(name, averaged) for name in model.networks}
    tensors = {f"network.{n}.{k}": t.contiguous() for n, net in networks.items() for k, t in net.state_dict().items()}
    kept = folder / "checkpoints" / f"step_{trained.step:08d}"
    kept.mkdir(parents=True)
    save_file(tensors, kept / checkpoints.TENSORS)
    state = {"step": trained.step, "healthy": True, "phases": trained.phases, "callbacks": {}, "optimizers": {}}
    write_json(kept / checkpoints.STATE, {**state, "sha256": sha256(kept / checkpoints.TENSORS)})
    shutil.copyfile(run.config, folder / "config.yaml")
    write_json(folder / "run.json", {**run.read(), "step": trained.step})
    return 'tw.load("{folder}").sample(64), or: trainwright sample {folder} -n 64'

"""Checkpoints: a folder with ``tensors.safetensors`` and ``state.json``. Nothing in them is ever unpickled.

A folder appears under its name only when it is complete. A checksum in ``state.json`` detects damage, and then the newest good
checkpoint is used. The newest checkpoint marked healthy is never deleted.
"""

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from trainwright.engine.model import GenerativeModel
from trainwright.errors import Refused, UserError
from trainwright.files import atomic_folder, sha256, write_json

TENSORS, STATE = "tensors.safetensors", "state.json"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk whose files passed their checksum."""

    folder: Path
    state: dict[str, Any]

    @property
    def step(self) -> int:
        """Steps completed when it was written."""
        return int(self.state["step"])


def save(model: GenerativeModel, folder: Path, state: dict[str, Any], healthy: bool) -> Path:
    """Write ``folder/step_00001234``; all or nothing.

    Args:
        model: its networks, averages and optimizer states are written.
        folder: the run's checkpoint folder.
        state: plain values; must hold ``step``.
        healthy: the verdict is neither sick nor crashed; retention never deletes the newest healthy checkpoint.
    """
    target = folder / f"step_{state['step']:08d}"
    tensors, optimizers = collect(model)
    with atomic_folder(target) as temporary:
        _write_tensors(tensors, temporary / TENSORS)
        facts = {**state, "healthy": healthy, "optimizers": optimizers, "sha256": sha256(temporary / TENSORS)}
        write_json(temporary / STATE, facts)
    return target


def _write_tensors(tensors: dict[str, Tensor], file: Path) -> None:
    """Write a safetensors file; raise an OSError if the disk is full."""
    try:
        save_file(tensors, file)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(file)) from error


def collect(model: GenerativeModel) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return all tensors by name (``network.``, ``average.``, ``optimizer.``), and the optimizers' plain values."""
    tensors: dict[str, Tensor] = {}
    for kind, networks in (("network", model.networks), ("average", model.averaged)):
        for name, network in networks.items():
            for key, tensor in network.state_dict().items():
                tensors[f"{kind}.{name}.{key}"] = tensor.detach().contiguous()
    plain: dict[str, Any] = {}
    for name, group in model.groups.items():
        for index, values in group.optimizer.state_dict()["state"].items():
            for key, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{name}.{index}.{key}"] = value.detach().contiguous()
                else:
                    plain.setdefault(name, {}).setdefault(str(index), {})[key] = value
    return tensors, plain


def restore(model: GenerativeModel, checkpoint: Checkpoint) -> None:
    """Load a checkpoint's tensors into a model of the same architecture.

    Optimizer *settings* are not restored: rates and betas always come from the config in force.

    Raises:
        UserError: the checkpoint has other tensors or shapes than the model.
    """
    tensors = load_tensors(checkpoint.folder / TENSORS, model.device)
    for kind, networks in (("network", model.networks), ("average", model.averaged)):
        for name, network in networks.items():
            _fill(network, tensors, f"{kind}.{name}.", checkpoint.folder)
    for name, group in model.groups.items():
        _fill_optimizer(group.optimizer, tensors, f"optimizer.{name}.", checkpoint.state["optimizers"].get(name, {}))


def restore_what_fits(model: GenerativeModel, checkpoint: Checkpoint) -> list[str]:
    """Load a checkpoint into a model as far as shapes fit.

    Networks with another shape keep their initial weights, and the optimizer of their group is reinitialised.

    Returns:
        Names of the groups that are reinitialised.
    """
    tensors = load_tensors(checkpoint.folder / TENSORS, model.device)
    reinitialized = [
        name for name, group in model.groups.items() if not all(_fits(model, n, tensors) for n in group.networks)
    ]
    again = {network for name in reinitialized for network in model.groups[name].networks}
    trained = {network for group in model.groups.values() for network in group.networks}
    again |= {n for n in model.networks if n not in trained and not _fits(model, n, tensors)}  # set from the data
    for kind, networks in (("network", model.networks), ("average", model.averaged)):
        for name, network in networks.items():
            if name not in again:
                _fill(network, tensors, f"{kind}.{name}.", checkpoint.folder)
    for name, group in model.groups.items():
        if name not in reinitialized:
            plain = checkpoint.state["optimizers"].get(name, {})
            _fill_optimizer(group.optimizer, tensors, f"optimizer.{name}.", plain)
    return reinitialized


def _fits(model: GenerativeModel, name: str, tensors: dict[str, Tensor]) -> bool:
    prefix = f"network.{name}."
    own = model.networks[name].state_dict()
    given = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    return own.keys() == given.keys() and all(own[key].shape == given[key].shape for key in own)


def restore_network(network: nn.Module, tensors: dict[str, Tensor], prefix: str, folder: Path) -> None:
    """Load the tensors of one network (sampling needs no optimizer)."""
    _fill(network, tensors, prefix, folder)


def load_tensors(file: Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Return all tensors of a safetensors file.

    Raises:
        Refused: it is not a safetensors file (for example a pickle); nothing in it was executed.
    """
    try:
        with safe_open(file, framework="pt", device=str(device)) as handle:
            return {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:120]
        raise Refused(
            f"{file} is refused: it is not a safetensors file ({reason}). Nothing in it was executed."
        ) from None


def find(folder: Path) -> tuple[Checkpoint | None, list[tuple[str, str]]]:
    """Return the newest good checkpoint and, newest first, (name, reason) of each damaged one that was skipped."""
    damaged: list[tuple[str, str]] = []
    for path in _newest_first(folder):
        try:
            return _verify(path), damaged
        except Refused as error:
            damaged.append((path.name, str(error)))
    return None, damaged


def good(folder: Path) -> list[Checkpoint]:
    """Return every checkpoint that passes its checksum, newest first."""
    found = []
    for path in _newest_first(folder):
        try:
            found.append(_verify(path))
        except Refused:
            continue
    return found


def latest(folder: Path) -> Checkpoint:
    """Return the newest good checkpoint; raise a UserError if there is none."""
    found, damaged = find(folder)
    if found is None:
        why = f" {damaged[0][1]}" if damaged else " Train for longer, or look at the run's events."
        raise UserError(f"{folder} holds no usable checkpoint.{why}")
    return found


def retain(folder: Path, keep: int) -> None:
    """Delete all but the ``keep`` newest checkpoints, and never the newest healthy one."""
    paths = _newest_first(folder)
    protected = next((path for path in paths if _is_healthy(path)), None)
    for path in paths[keep:]:
        if path != protected:
            shutil.rmtree(path, ignore_errors=True)


def drop_later(folder: Path, step: int) -> None:
    """Delete checkpoints later than ``step``, to which the run returned: training from there takes another path."""
    for path in _newest_first(folder):
        if int(path.name.rpartition("_")[2]) > step:
            shutil.rmtree(path, ignore_errors=True)


def _newest_first(folder: Path) -> list[Path]:
    found = [path for path in folder.glob("step_*") if path.is_dir()] if folder.is_dir() else []
    return sorted(found, reverse=True)


def _verify(path: Path) -> Checkpoint:
    try:
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
        intact = sha256(path / TENSORS) == state["sha256"] and isinstance(state["step"], int)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"{path.name}: {STATE} or {TENSORS} is missing or damaged ({type(error).__name__}).") from None
    if not intact:
        raise Refused(f"{path.name}: the checksum of {TENSORS} does not match.")
    return Checkpoint(path, state)


def _is_healthy(path: Path) -> bool:
    try:
        return bool(_verify(path).state["healthy"])
    except (Refused, KeyError):
        return False


def _fill(network: nn.Module, tensors: dict[str, Tensor], prefix: str, folder: Path) -> None:
    own = network.state_dict()
    given = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    wrong = [k for k in own.keys() | given.keys() if k not in own or k not in given or own[k].shape != given[k].shape]
    if wrong:
        raise UserError(f"{folder}: the checkpoint does not fit this config, first at {prefix}{sorted(wrong)[0]}.")
    network.load_state_dict(given)


def _fill_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], prefix: str, plain: dict[str, Any]
) -> None:
    parameters = [p for settings in optimizer.param_groups for p in settings["params"]]
    optimizer.state.clear()
    for key, tensor in tensors.items():
        if key.startswith(prefix):
            index, _, field = key.removeprefix(prefix).partition(".")
            parameter = parameters[int(index)]
            # moments take over the parameter's memory layout (channels-last), which fused optimizers rely on
            same = tensor.shape == parameter.shape
            value = torch.empty_like(parameter).copy_(tensor).detach() if same else tensor.clone()
            optimizer.state[parameter][field] = value
    for index, values in plain.items():
        optimizer.state[parameters[int(index)]].update(values)

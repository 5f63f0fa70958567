"""Damaged, planted and missing files: the newest good checkpoint is used, nothing is executed, nothing healthy deleted."""

import json
import os
import pickle
import shutil

import pytest
import torch

from tests.conftest import all_tensors
from tests.contracts.test_finite import recipes_of
from trainwright.engine import checkpoint
from trainwright.engine.inference import load
from trainwright.errors import Refused, UserError
from trainwright.files import sha256
from trainwright.runs.folder import Run


class Bomb:
    """Unpickling this makes a folder: proof that code ran."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.fixture
def run(family, finished, tmp_path):
    """A finished run of the family's first recipe, to do harm to."""
    return Run(shutil.copytree(finished(next(iter(recipes_of(family)))).run.folder, tmp_path / "run"))


@pytest.mark.parametrize("form", ["pickle", "torch"])
def test_a_planted_pickle_is_refused_and_not_run(family, quick, run, tmp_path, form):
    mark = tmp_path / "executed"
    for folder in run.checkpoints.iterdir():
        file = folder / checkpoint.TENSORS
        if form == "pickle":
            file.write_bytes(pickle.dumps(Bomb(mark)))
        else:
            torch.save({"weights": Bomb(mark)}, file)
        state = json.loads((folder / checkpoint.STATE).read_text())
        state["sha256"] = sha256(file)  # a stranger can forge the checksum too
        (folder / checkpoint.STATE).write_text(json.dumps(state))
    with pytest.raises(Refused, match="not a safetensors file"):
        load(family, run)
    with pytest.raises(UserError):
        quick(next(iter(recipes_of(family))), "steps=8", run=run.folder)
    assert not mark.exists()


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty_state", "no_tensors"])
def test_a_damaged_checkpoint_is_passed_over_with_an_event(family, quick, finished, run, damage):
    title = next(iter(recipes_of(family)))
    whole = all_tensors(finished(title, "steps=8").run)
    newest = run.checkpoints / "step_00000006"
    file = newest / checkpoint.TENSORS
    if damage == "truncate":
        os.truncate(file, file.stat().st_size // 2)
    elif damage == "flip":
        data = bytearray(file.read_bytes())
        data[-10] ^= 0xFF
        file.write_bytes(data)
    elif damage == "empty_state":
        (newest / checkpoint.STATE).write_text("")
    else:
        file.unlink()
    assert load(family, run).step == 4
    again = quick(title, "steps=8", run=run.folder)
    assert again.status == "finished"
    event = next(e for e in again.run.events() if e["event"] == "checkpoint_damaged")
    assert event["checkpoint"] == "step_00000006"
    recovered = all_tensors(again.run)
    assert [key for key in whole if not torch.equal(whole[key], recovered[key])] == []


def test_retention_keeps_the_newest_and_the_last_healthy(run):
    for step in (2, 4, 6):
        state = run.checkpoints / f"step_{step:08d}" / checkpoint.STATE
        if state.exists() and step > 2:
            state.write_text(json.dumps({**json.loads(state.read_text()), "healthy": False}))
    checkpoint.retain(run.checkpoints, keep=1)
    assert sorted(p.name for p in run.checkpoints.iterdir()) == ["step_00000002", "step_00000006"]


def test_a_half_written_checkpoint_is_not_seen_and_is_cleared_away(family, quick, run):
    half = run.checkpoints / ".step_00000008.123.tmp"
    shutil.copytree(run.checkpoints / "step_00000006", half)
    assert load(family, run).step == 6
    quick(next(iter(recipes_of(family))), run=run.folder)
    assert not half.exists()


def test_a_checkpoint_of_another_architecture_is_refused(family, run):
    file = run.checkpoints / "step_00000006" / checkpoint.TENSORS
    tensors = checkpoint.load_tensors(file)
    name = next(key for key in tensors if key.startswith("network."))
    from safetensors.torch import save_file

    save_file({key: value for key, value in tensors.items() if key != name}, file)
    state = run.checkpoints / "step_00000006" / checkpoint.STATE
    state.write_text(json.dumps({**json.loads(state.read_text()), "sha256": sha256(file)}))
    with pytest.raises(UserError, match="does not fit"):
        load(family, run)

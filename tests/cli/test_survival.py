"""Real processes: kill -9, Ctrl-C, a full disk, two on one folder, two processes together, Weights & Biases offline."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.conftest import SMOKE, all_tensors
from trainwright import catalog as registry
from trainwright.engine.checkpoint import TENSORS, load_tensors
from trainwright.runs.folder import Run, read_lines

LONG = ("steps=300", "checkpoint_every=10", "log_every=5", "sample_every=1000", "validate_every=1000")


def command(folder: Path, sprites: Path, *overrides: str, title: str = "wgan_gp/small") -> list[str]:
    family = registry.family(title.split("/")[0])
    data = [f"data={sprites}"] if family.trains_on == "images" else []
    words = (*family.smoke, *SMOKE, *data, "tracker=none", "threads=1", *overrides)
    return [sys.executable, "-m", "trainwright", "train", title, *words, "--run", str(folder)]


def start(words: list[str], **kwargs) -> subprocess.Popen[str]:
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)


def wait_for_step(folder: Path, step: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        rows = read_lines(folder / "metrics.jsonl")
        if rows and rows[-1]["step"] >= step:
            return
        time.sleep(0.02)
    raise AssertionError(process.communicate(timeout=5))


@pytest.fixture(scope="module")
def whole(sprites, tmp_path_factory) -> dict[str, torch.Tensor]:
    """The same run, never disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    subprocess.run(command(folder, sprites, *LONG), check=True, capture_output=True, timeout=280)
    return all_tensors(Run(folder))


def assert_equal(run: Run, expected: dict[str, torch.Tensor]) -> None:
    actual = all_tensors(run)
    assert [key for key in expected if not torch.equal(expected[key], actual[key])] == []


def test_kill_9_at_any_moment_loses_nothing(tmp_path, sprites, whole):
    folder = tmp_path / "run"
    words = command(folder, sprites, *LONG)
    for step in (5, 40, 115, 200):
        process = start(words)
        wait_for_step(folder, step, process)
        time.sleep((step % 7) / 50)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        for row in (folder / "metrics.jsonl").read_text().splitlines()[:-1]:
            json.loads(row)
    last = subprocess.run(words, capture_output=True, text=True, timeout=280)
    assert last.returncode == 0, last.stderr
    assert "resumed" in last.stdout
    assert_equal(Run(folder), whole)


def test_ctrl_c_saves_and_the_same_command_goes_on(tmp_path, sprites, whole):
    folder = tmp_path / "run"
    words = command(folder, sprites, *LONG)
    process = start(words)
    wait_for_step(folder, 50, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "with a checkpoint" in out
    assert "Traceback" not in err
    assert Run(folder).read()["status"] == "interrupted"
    assert subprocess.run(words, capture_output=True, timeout=280).returncode == 0
    assert_equal(Run(folder), whole)


def test_a_full_disk_is_explained_and_the_same_command_goes_on(tmp_path, sprites, whole):
    folder = tmp_path / "run"
    words = command(folder, sprites, *LONG)
    process = start(words)
    wait_for_step(folder, 30, process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    size = max(file.stat().st_size for file in folder.rglob("*.safetensors"))

    def no_room() -> None:  # the system refuses to let any file grow to a checkpoint's size
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

    full = subprocess.run(words, capture_output=True, text=True, timeout=280, preexec_fn=no_room)
    assert full.returncode == 2, full.stderr
    assert "run the same command" in full.stderr
    assert "Traceback" not in full.stderr
    assert subprocess.run(words, capture_output=True, timeout=280).returncode == 0
    assert_equal(Run(folder), whole)


def test_a_second_process_on_the_folder_is_refused(tmp_path, sprites):
    folder = tmp_path / "run"
    words = command(folder, sprites, "steps=100000")
    process = start(words)
    try:
        wait_for_step(folder, 2, process)
        second = subprocess.run(words, capture_output=True, text=True, timeout=120)
        assert second.returncode == 2
        assert "in use by another process" in second.stderr
    finally:
        process.kill()
        process.communicate(timeout=30)
    assert Run(folder).read()["status"] == "running"


# Two halves are not the whole where a network looks at all of a batch (BatchNorm, in the first) or draws for itself (nn.Dropout).
@pytest.mark.parametrize(
    ("title", "settings", "equal"),
    [
        ("wgan_gp/small", (), False),
        ("latent_diffusion/small", (), True),
        ("video_vaegan/guide", ("wubu_dropout=0",), True),
    ],
)
def test_two_processes_train_what_one_does_and_one_goes_on_alone(title, settings, equal, tmp_path, sprites):
    def to(steps: int, folder: str, devices: int) -> Run:
        length = (f"steps={steps}", f"devices={devices}", "accelerator=cpu")
        words = command(
            tmp_path / folder, sprites, *length, "held_out=0.2", "keep_checkpoints=9", *settings, title=title
        )
        done = subprocess.run(words, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
        return Run(tmp_path / folder)

    to(4, "together", 2)
    to(6, "together", 2)
    together = to(8, "together", 1)
    assert [row["step"] for row in read_lines(together.metrics)] == [2, 4, 6, 8]
    two = all_tensors(together)
    assert all(torch.isfinite(tensor.float()).all() for tensor in two.values())
    if equal:
        one = all_tensors(to(8, "alone", 1))
        first = load_tensors(tmp_path / "alone" / "checkpoints" / "step_00000000" / TENSORS)
        assert one.keys() == two.keys()
        assert distance(one, two) < 0.02 * distance(one, first)  # Adam makes much of how a small gradient was rounded


def distance(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> float:
    """Between the networks of two checkpoints."""
    keys = [key for key in one if key.startswith("network.")]
    return float(torch.stack([(one[key] - two[key]).float().square().sum() for key in keys]).sum().sqrt())


@pytest.mark.parametrize("name", list(registry.families()))
def test_a_run_resumed_in_a_new_process_is_the_uninterrupted_one(name, tmp_path, sprites):
    """Within one process the contracts show it; a new one has nothing warmed up, which must not change how a sum is rounded."""
    title = next(t for t in registry.recipes() if t.startswith(f"{name}/"))
    # wide enough for sums of vector length, whose order of adding may differ; the smoke size of this family is not
    wide = ("wubu_s=[64, 32]", "wubu_t=[128]", "tangent_dim=128") if name == "video_vaegan" else ()
    for run, steps in (("whole", 8), ("parts", 4), ("parts", 8)):
        words = command(tmp_path / run, sprites, f"steps={steps}", "checkpoint_every=4", *wide, title=title)
        done = subprocess.run(words, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
    assert_equal(Run(tmp_path / "parts"), all_tensors(Run(tmp_path / "whole")))


def test_stage_one_on_the_way_survives_kill_9_and_goes_on(tmp_path, sprites, monkeypatch):
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path / "cache"))
    words = command(tmp_path / "run", sprites, "autoencoder_steps=60", "held_out=0.3", title="latent_diffusion/small")
    process = start(words)
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        new = list((tmp_path / "cache" / "autoencoders").glob("*"))
        if any((folder / "metrics.jsonl").exists() for folder in new):
            break
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=30)
    (first,) = new
    again = subprocess.run(words, capture_output=True, text=True, timeout=280)
    assert again.returncode == 0, again.stderr
    assert [e["event"] for e in Run(first).events()] == ["started", "resumed", "finished"]
    assert Run(tmp_path / "run").read()["status"] == "finished"


def test_wandb_offline_needs_no_account(tmp_path, sprites):
    folder = tmp_path / "run"
    words = [w for w in command(folder, sprites) if w != "tracker=none"] + ["tracker=wandb"]
    keep = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")}
    result = subprocess.run(words, capture_output=True, text=True, timeout=280, env=keep)
    assert result.returncode == 0, result.stderr
    assert list(folder.glob("wandb/offline-run-*/*.wandb"))


def test_tensorboard_reads_what_was_written(tmp_path, sprites):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tmp_path / "run"
    words = [w for w in command(folder, sprites) if w != "tracker=none"]
    subprocess.run(words, check=True, capture_output=True, timeout=280)
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    steps = [event.step for event in events.Scalars("critic/loss")]
    assert steps == [2, 4, 6]

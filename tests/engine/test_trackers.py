"""Trackers in real trainings: rows, grids, views and findings arrive, and the doctor reads them back."""

import sqlite3
import subprocess
import sys

import pytest

from tests.conftest import quick_config
from trainwright.diagnosis.importers import read
from trainwright.engine.trackers import KINDS, FailSafeTracker
from trainwright.runs.folder import Run

SCRIPT = """
import sys
from pathlib import Path
from trainwright.catalog import load
from trainwright.engine.display import Silent
from trainwright.engine.session import train
from trainwright.runs.folder import Run

folder, title, *words = sys.argv[1:]
family, config = load(title, words)
train(family, config, Run(Path(folder)), Silent())
"""


def trained(folder, sprites, tracker, monkeypatch, *words):
    """Train in a process of its own, since trackers keep threads and settings."""
    monkeypatch.setenv("TRACKIO_DIR", str(folder / "trackio"))
    monkeypatch.setenv("HOME", str(folder))
    for name in ("MLFLOW_TRACKING_URI", "TRACKIO_PROJECT", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    family, _ = quick_config("gaussian_vae/small", sprites)
    smoke = ("steps=6", "log_every=2", "validate_every=3", "sample_every=3", "sample_count=4", "checkpoint_every=2")
    all_words = (*family.smoke, *smoke, f"data={sprites}", f"tracker={tracker}", *words)
    script = [sys.executable, "-c", SCRIPT, str(folder / "run"), "gaussian_vae/small", *all_words]
    done = subprocess.run(script, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "failed and is switched off" not in done.stdout + done.stderr
    assert Run(folder / "run").read()["status"] == "finished"


def test_mlflow_gets_rows_and_images_and_goes_on(tmp_path, sprites, monkeypatch):
    trained(tmp_path, sprites, "mlflow", monkeypatch)
    trained(tmp_path, sprites, "mlflow", monkeypatch, "steps=8")
    log = read(tmp_path / "run" / "mlflow.db")
    assert list(log.history.signals["vae/loss"].steps) == [2, 4, 6, 8]
    with sqlite3.connect(tmp_path / "run" / "mlflow.db") as database:
        assert database.execute("SELECT COUNT(*) FROM runs").fetchone() == (1,)
    kinds = {f.parent.name for f in (tmp_path / "run" / "mlflow").rglob("*.png")}
    assert "samples" in kinds and len(kinds) > 1


def test_trackio_gets_rows_and_images(tmp_path, sprites, monkeypatch):
    trained(tmp_path, sprites, "trackio", monkeypatch)
    log = read(tmp_path / "trackio" / "trainwright.db")
    assert list(log.history.signals["vae/loss"].steps) == [2, 4, 6]
    assert len(list((tmp_path / "trackio").rglob("*.png"))) > 2


@pytest.mark.parametrize("kind", ["tensorboard", "mlflow"])
def test_findings_reach_a_tracker(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracker = KINDS[kind](tmp_path, "run", 0, {"train": {"steps": 6}})
    tracker.row(2, {"loss": 1.0})
    tracker.finding(2, "sick: mode collapse", "samples are alike")
    tracker.close()
    if kind == "mlflow":
        texts = [f.read_text() for f in (tmp_path / "mlflow").rglob("*.txt")]
    else:
        texts = [f.read_bytes().decode(errors="replace") for f in tmp_path.rglob("*tfevents*")]
    assert any("mode collapse" in text and "samples are alike" in text for text in texts)


def test_a_tracker_that_fails_is_switched_off_and_said():
    said = []

    class Broken:
        def finding(self, step, title, text):
            raise OSError("no network")

    tracker = FailSafeTracker(Broken(), said.append)
    tracker.finding(1, "a", "b")
    tracker.row(2, {"loss": 1.0})
    assert len(said) == 1 and "no network" in said[0]

"""Logs of trackers that keep them in a database or in one file for each metric."""

import json
import math
import sqlite3

import pytest

from trainwright.diagnosis.importers import read
from trainwright.errors import UserError


def mlflow_folder(root, loss=(3.0, 2.0, 1.0)):
    run = root / "mlruns" / "0" / "abc"
    (run / "metrics" / "train").mkdir(parents=True)
    (run / "meta.yaml").write_text("run_id: abc\n")
    (run / "metrics" / "train" / "loss").write_text("".join(f"17000000{i} {v} {10 * i}\n" for i, v in enumerate(loss)))
    (run / "metrics" / "val_loss").write_text("170000000 2.5 0\n170000002 nan 20\n")
    return run


def mlflow_database(file):
    with sqlite3.connect(file) as database:
        database.execute(
            "CREATE TABLE metrics (key TEXT, value REAL, timestamp INTEGER, run_uuid TEXT, step INTEGER, is_nan INTEGER)"
        )
        rows = [("loss", 3.0 - i, i, "abc", i, 0) for i in range(3)] + [("val_loss", 0.0, 9, "abc", 2, 1)]
        database.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", [*rows, ("loss", 9.0, 1, "other", 1, 0)])
    return file


def trackio_database(file):
    with sqlite3.connect(file) as database:
        database.execute(
            "CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT, run_name TEXT, step INTEGER, metrics TEXT)"
        )
        rows = [
            ("t", name, i, json.dumps({"train": {"loss": 5 - i}, "note": "x"}).encode())
            for name in ("a", "b")
            for i in range(4)
        ]
        database.executemany(
            "INSERT INTO metrics (timestamp, run_name, step, metrics) VALUES (?, ?, ?, ?)",
            [*rows, ("t", "b", 9, "{torn")],
        )
    return file


@pytest.mark.parametrize("place", ["", "mlruns", "mlruns/0", "mlruns/0/abc"])
def test_mlflow_folders(tmp_path, place):
    mlflow_folder(tmp_path)
    log = read(tmp_path / place)
    assert log.kind == "mlflow" and log.columns == {"train/loss": "loss", "val_loss": "validation/loss"}
    assert list(log.history.signals["loss"].steps) == [0, 10, 20]
    assert math.isnan(log.history.signals["validation/loss"].last)


def test_a_database_of_mlflow_of_several_runs(tmp_path):
    log = read(mlflow_database(tmp_path / "mlflow.db"))
    assert list(log.history.signals["loss"].values) == [3, 2, 1]
    assert math.isnan(log.history.signals["validation/loss"].last)
    assert "of 2 runs" in log.notes[0]


def test_a_project_of_trackio(tmp_path):
    log = read(trackio_database(tmp_path / "project.db"))
    assert log.kind == "trackio" and log.columns == {"train/loss": "loss"}
    assert list(log.history.signals["loss"].values) == [5, 4, 3, 2]
    assert "the newest was read, b" in log.notes[0]


@pytest.mark.parametrize("size", [100, 3000])
def test_a_torn_database_is_an_error_in_a_sentence(tmp_path, size):
    whole = mlflow_database(tmp_path / "a.db").read_bytes()
    (tmp_path / "b.db").write_bytes(whole[:size])
    with pytest.raises(UserError, match=r"b\.db"):
        read(tmp_path / "b.db")


def test_another_database_is_an_error_in_a_sentence(tmp_path):
    with sqlite3.connect(tmp_path / "c.db") as database:
        database.execute("CREATE TABLE cats (name TEXT)")
    with pytest.raises(UserError, match="neither of MLflow nor of trackio"):
        read(tmp_path / "c.db")

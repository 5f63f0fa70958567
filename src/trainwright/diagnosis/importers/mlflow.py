"""MLflow runs: the files of a run's ``metrics`` folder, and databases (``mlflow.db``); neither needs MLflow."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from trainwright.diagnosis.history import Series
from trainwright.diagnosis.importers import sqlite
from trainwright.diagnosis.importers.columns import Log, rising
from trainwright.errors import UserError

TABLE = ("metrics", {"key", "value", "run_uuid", "step", "is_nan"})


def run_folders(folder: Path) -> list[Path]:
    """Return the ``metrics`` folders of a run, of an experiment or of ``mlruns``; oldest first."""
    found = [
        f for pattern in ("metrics", "*/metrics", "*/*/metrics", "mlruns/*/*/metrics") for f in folder.glob(pattern)
    ]
    runs = {f for f in found if f.is_dir() and (f.parent / "meta.yaml").is_file()}
    return sorted(runs, key=lambda f: (f.parent / "meta.yaml").stat().st_mtime)


def read(path: Path, step: str | None = None) -> Log:
    """Read a run's folder, the newest run in a folder of runs, or the run with most readings in a database.

    Raises:
        UserError: there are no metrics, or a column is chosen for steps that carry their own.
    """
    if step is not None:
        raise UserError("MLflow's metrics carry their step; a step column cannot be chosen for them.")
    return _folder(path) if path.is_dir() else _database(path)


def _folder(path: Path) -> Log:
    runs = run_folders(path)
    if not runs:
        raise UserError(f"{path} holds no run of MLflow.")
    newest = runs[-1]
    columns = {}
    for file in sorted(f for f in newest.rglob("*") if f.is_file()):
        cells = [_cell(line.split()) for line in file.read_text(errors="replace").splitlines()]
        kept = [c for c in cells if c is not None]
        if kept:
            columns[file.relative_to(newest).as_posix()] = rising(*map(np.array, zip(*kept, strict=True)))
    if not columns:
        raise UserError(f"{newest.parent}: nothing was logged in this run of MLflow.")
    notes = [f"of {len(runs)} runs the newest was read, {newest.parent.name}"] if len(runs) > 1 else []
    return Log("mlflow", columns, notes)


def _cell(words: list[str]) -> tuple[float, float] | None:
    """Return step and value of a line: time, value and, in newer files, step."""
    try:
        return float(words[2]) if len(words) > 2 else float(words[0]), float(words[1])
    except (ValueError, IndexError):
        return None


def _database(path: Path) -> Log:
    with sqlite.opened(path) as database:
        runs = database.execute("SELECT run_uuid, COUNT(*) FROM metrics GROUP BY run_uuid ORDER BY 2 DESC").fetchall()
        if not runs:
            raise UserError(f"{path}: nothing was logged in this database of MLflow.")
        rows = database.execute(
            "SELECT key, step, value, is_nan FROM metrics WHERE run_uuid = ? ORDER BY key, step, timestamp",
            (runs[0][0],),
        )
        columns = _columns(rows)
    notes = [f"of {len(runs)} runs the one with the most readings was read, {runs[0][0]}"] if len(runs) > 1 else []
    return Log("mlflow", columns, notes)


def _columns(rows: Iterable[tuple[object, ...]]) -> dict[str, Series]:
    cells: dict[str, tuple[list[float], list[float]]] = {}
    for key, step, value, lost in rows:
        if isinstance(key, str) and isinstance(step, int | float) and isinstance(value, int | float):
            steps, values = cells.setdefault(key, ([], []))
            steps.append(float(step))
            values.append(math.nan if lost else float(value))
    return {key: rising(np.array(s), np.array(v)) for key, (s, v) in cells.items()}

"""trackio projects: a SQLite database with one JSON object for each call of ``trackio.log``; trackio is not needed."""

import json
from collections.abc import Mapping
from pathlib import Path

from trainwright.diagnosis.importers import sqlite
from trainwright.diagnosis.importers.columns import Log, NumberTable, flat
from trainwright.errors import UserError

TABLE = ("metrics", {"run_name", "step", "metrics"})


def read(path: Path, step: str | None = None) -> Log:
    """Read the newest run of a project.

    Raises:
        UserError: nothing was logged.
    """
    table = NumberTable()
    with sqlite.opened(path) as database:
        runs = database.execute("SELECT run_name FROM metrics GROUP BY run_name ORDER BY MAX(rowid)").fetchall()
        if not runs:
            raise UserError(f"{path}: nothing was logged in this project of trackio.")
        newest = runs[-1][0]
        query = "SELECT step, metrics FROM metrics WHERE run_name = ? ORDER BY step, rowid"
        for number, text in database.execute(query, (newest,)):
            try:
                row = json.loads(text)
            except (TypeError, ValueError):
                continue
            if isinstance(row, Mapping):
                table.extend([{**dict(flat(row)), "step": number}])
    notes = [f"of {len(runs)} runs the newest was read, {newest}"] if len(runs) > 1 else []
    return table.log("trackio", step, notes)

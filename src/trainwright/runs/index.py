"""A SQLite index of run folders, for listing thousands of runs at once. It holds nothing that the folders do not.

Each listing updates it by comparing the time of every ``run.json`` with the stored one. The index can be deleted at any time and is
then built again.
"""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from trainwright.errors import UserError

COLUMNS = ("name", "family", "recipe", "status", "verdict", "step", "steps", "created", "hypothesis")
SCHEMA = f"CREATE TABLE IF NOT EXISTS runs (mtime INTEGER, {', '.join(COLUMNS)}, PRIMARY KEY (name))"


def list_runs(root: Path) -> list[dict[str, Any]]:
    """Return every run directly under ``root``, newest first.

    Raises:
        UserError: there is no such folder.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder. Runs are made by `trainwright train`; --root names another folder.")
    try:
        return _list(root, root / ".index.sqlite")
    except sqlite3.Error:  # damaged, locked or on a read-only disk: read the folders instead
        return _list(root, None)


def _list(root: Path, file: Path | None) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(file or ":memory:", timeout=2)) as base:
        base.execute(SCHEMA)
        known = dict(base.execute("SELECT name, mtime FROM runs"))
        found = dict(_found(root))
        gone = [(name,) for name in known if name not in found]
        fresh = [(mtime, *_row(root / name)) for name, mtime in found.items() if known.get(name) != mtime]
        with base:
            base.executemany("DELETE FROM runs WHERE name = ?", gone)
            base.executemany(f"INSERT OR REPLACE INTO runs VALUES (?{', ?' * len(COLUMNS)})", fresh)
        rows = base.execute(f"SELECT {', '.join(COLUMNS)} FROM runs ORDER BY created DESC, name")
        return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def _found(root: Path) -> Iterator[tuple[str, int]]:
    with os.scandir(root) as entries:
        for entry in entries:
            try:
                yield entry.name, os.stat(f"{entry.path}/run.json").st_mtime_ns
            except OSError:
                continue


def _row(folder: Path) -> tuple[Any, ...]:
    try:
        facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        values = [facts.get(column) for column in COLUMNS[1:]]
    except (OSError, ValueError, AttributeError):
        values = [None, None, "unreadable", *[None] * (len(COLUMNS) - 4)]
    return (folder.name, *(v if isinstance(v, str | int | float | None) else str(v) for v in values))

"""A run: one folder of plain files, readable with a text editor.

``run.json`` identity and status · ``config.yaml`` complete config · ``metrics.jsonl`` signals · ``losses.csv`` epoch means ·
``events.jsonl`` every automatic act · ``checkpoints/`` · ``samples/`` · ``evaluation.json`` · ``report.html``.
"""

import json
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from trainwright import __version__
from trainwright.errors import UserError, nearest
from trainwright.files import write_json, write_text
from trainwright.runs import legacy

FORMAT = 1
LOCK = ".lock"


class Run:
    """A run folder; files are read when they are needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(folder / LOCK)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.folder / "checkpoints"

    @property
    def best(self) -> Path:
        """Folder of the checkpoint with the best held-out objective, if the run keeps one."""
        return self.folder / "best"

    @property
    def views(self) -> Path:
        """Folder of a family's further grids, with one folder for each."""
        return self.folder / "views"

    @property
    def samples(self) -> Path:
        """Folder of sample grids."""
        return self.folder / "samples"

    @property
    def metrics(self) -> Path:
        """Path of the signals: a JSON object per line with step, epoch and means since the previous line."""
        return self.folder / "metrics.jsonl"

    @property
    def losses(self) -> Path:
        """Path of the epoch means, under the column names that the guides' programs use."""
        return self.folder / "losses.csv"

    @property
    def config(self) -> Path:
        """Path of the complete resolved config."""
        return self.folder / "config.yaml"

    @property
    def exists(self) -> bool:
        """True if the folder holds a run."""
        return (self.folder / "run.json").exists()

    def create(self, config_yaml: str, identity: dict[str, Any]) -> None:
        """Create a run: config first, ``run.json`` last, so that an incomplete folder is not taken for a run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.config, config_yaml)
        facts = {
            "format": FORMAT,
            **identity,
            "status": "created",
            "verdict": "unknown",
            "verdict_reason": "not judged yet",
            "created": now(),
            "trainwright": __version__,
            "code": code_identity(),
            "machine": {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()},
            "parent": None,
            "change": None,
        }
        write_json(self.folder / "run.json", facts)

    def read(self) -> dict[str, Any]:
        """Return the contents of ``run.json``.

        Raises:
            UserError: the folder is not a run, or the file is damaged.
        """
        try:
            facts = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{self.folder} is not a run folder: it has no run.json.{self._similar()}") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{self.folder / 'run.json'} cannot be read ({error}).") from None
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise UserError(f"{self.folder / 'run.json'} has a format that this version cannot read.")
        return legacy.facts(facts)

    def update(self, **facts: Any) -> None:
        """Replace fields of ``run.json``, all or nothing."""
        write_json(self.folder / "run.json", {**self.read(), **facts, "updated": now()})

    def acquire(self, seconds: float = 0.0) -> None:
        """Lock the folder for this process; the operating system releases it even after ``kill -9``.

        A folder that was locked twice must be released twice.

        Args:
            seconds: longest wait for another process to release it.

        Raises:
            UserError: another process is training here.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=seconds)
        except Timeout:
            raise UserError(
                f"{self.folder} is in use by another process. Wait for it, stop it, or choose another folder with --run."
            ) from None

    def clear(self) -> None:
        """Delete everything in the folder except the lock, before a run starts from scratch."""
        for entry in self.folder.iterdir() if self.folder.exists() else ():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != LOCK:
                entry.unlink()

    def release(self) -> None:
        """Release the folder."""
        self._lock.release()

    def event(self, kind: str, step: int, **facts: Any) -> None:
        """Append one line to ``events.jsonl``: the automatic action, its step and its evidence."""
        append_line(self.folder / "events.jsonl", {"time": now(), "step": step, "event": kind, **facts})

    def events(self) -> list[dict[str, Any]]:
        """Return all events in order; a line truncated by a crash is skipped."""
        return [legacy.event(line) for line in read_lines(self.folder / "events.jsonl")]

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of ``metrics.jsonl`` in order, under current signal names."""
        return [legacy.row(line) for line in read_lines(self.metrics)]

    def _similar(self) -> str:
        try:
            siblings = [p.name for p in self.folder.parent.iterdir() if (p / "run.json").exists()]
        except OSError:
            return ""
        return nearest(self.folder.name, siblings)


def open_run(path: str | Path) -> Run:
    """Return the run in folder ``path``; raise a UserError if there is none."""
    run = Run(Path(path).expanduser())
    if not run.folder.exists():
        raise UserError(f"{path}: no such run folder.{run._similar()} `trainwright runs` lists them.")
    run.read()
    return run


def append_line(file: Path, row: dict[str, Any]) -> None:
    """Append a JSON line and flush it to the operating system; a truncated line before it is ended first."""
    text = json.dumps(row, allow_nan=False) + "\n"
    with file.open("ab+") as handle:
        if handle.tell() > 0:
            handle.seek(-1, os.SEEK_END)
            if handle.read(1) != b"\n":
                text = "\n" + text
        handle.write(text.encode())


def read_lines(file: Path) -> list[dict[str, Any]]:
    """Return the JSON objects of a file of lines; a missing file is empty, a damaged line is skipped."""
    rows: list[dict[str, Any]] = []
    if not file.exists():
        return rows
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def code_identity() -> str | None:
    """Return the commit of a source checkout, with ``+`` if files differ from it; None for an installed package."""
    here = Path(__file__).resolve().parent
    try:
        commit = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.stdout.strip() or None

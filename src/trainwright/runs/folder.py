"""A run: one folder of plain files, readable with a text editor.

``run.json`` identity and status · ``config.yaml`` the whole config · ``metrics.jsonl`` signals · ``losses.csv`` epoch means ·
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
    """A run folder. Opening one reads nothing but ``run.json``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(folder / LOCK)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie."""
        return self.folder / "checkpoints"

    @property
    def best(self) -> Path:
        """Where the one checkpoint with the best held-out objective lies, if the run looks for it."""
        return self.folder / "best"

    @property
    def views(self) -> Path:
        """Where a family's further grids lie, a folder for each."""
        return self.folder / "views"

    @property
    def samples(self) -> Path:
        """Where sample grids lie."""
        return self.folder / "samples"

    @property
    def metrics(self) -> Path:
        """One JSON object a line: step, epoch and the mean of each signal since the line before."""
        return self.folder / "metrics.jsonl"

    @property
    def losses(self) -> Path:
        """Epoch means under the names that the guides read."""
        return self.folder / "losses.csv"

    @property
    def config(self) -> Path:
        """The whole resolved config."""
        return self.folder / "config.yaml"

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return (self.folder / "run.json").exists()

    def create(self, config_yaml: str, identity: dict[str, Any]) -> None:
        """Begins a run: config first, ``run.json`` last, so that a half-made folder is not taken for a run."""
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
        """``run.json``.

        Raises:
            UserError: the folder is no run, or the file is damaged.
        """
        try:
            facts = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{self.folder} is not a run folder: it has no run.json.{self._similar()}") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{self.folder / 'run.json'} cannot be read ({error}).") from None
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise UserError(f"{self.folder / 'run.json'} is not of a format that this version reads.")
        return legacy.facts(facts)

    def update(self, **facts: Any) -> None:
        """Replaces fields of ``run.json``, all or nothing."""
        write_json(self.folder / "run.json", {**self.read(), **facts, "updated": now()})

    def acquire(self, seconds: float = 0.0) -> None:
        """Takes the folder for this process; the operating system gives it back even after ``kill -9``.

        What was taken twice must be given back twice.

        Args:
            seconds: how long to wait for another process to give it back.

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
        """Empties the folder of a run that is begun anew; who has taken it keeps it."""
        for entry in self.folder.iterdir() if self.folder.exists() else ():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != LOCK:
                entry.unlink()

    def release(self) -> None:
        """Gives the folder back."""
        self._lock.release()

    def event(self, kind: str, step: int, **facts: Any) -> None:
        """Appends one line to ``events.jsonl``: what was done automatically, at which step, on what evidence."""
        append_line(self.folder / "events.jsonl", {"time": now(), "step": step, "event": kind, **facts})

    def events(self) -> list[dict[str, Any]]:
        """All events in order; a line cut short by a crash is passed over."""
        return [legacy.event(line) for line in read_lines(self.folder / "events.jsonl")]

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of ``metrics.jsonl`` in order, under today's signal names."""
        return [legacy.row(line) for line in read_lines(self.metrics)]

    def _similar(self) -> str:
        try:
            siblings = [p.name for p in self.folder.parent.iterdir() if (p / "run.json").exists()]
        except OSError:
            return ""
        return nearest(self.folder.name, siblings)


def open_run(path: str | Path) -> Run:
    """The run in folder ``path``; a UserError if there is none."""
    run = Run(Path(path).expanduser())
    if not run.folder.exists():
        raise UserError(f"{path}: no such run folder.{run._similar()} `trainwright runs` lists them.")
    run.read()
    return run


def append_line(file: Path, row: dict[str, Any]) -> None:
    """Appends a JSON line and flushes it to the operating system; mends a line that a crash cut short."""
    text = json.dumps(row, allow_nan=False) + "\n"
    with file.open("ab+") as handle:
        if handle.tell() > 0:
            handle.seek(-1, os.SEEK_END)
            if handle.read(1) != b"\n":
                text = "\n" + text
        handle.write(text.encode())


def read_lines(file: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file of lines; a missing file is empty, a damaged line is passed over."""
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
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def code_identity() -> str | None:
    """The commit of a source checkout, with ``+`` if files differ from it; None for an installed package."""
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

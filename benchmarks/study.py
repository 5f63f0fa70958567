"""Helpers for benchmarks: run or resume a plan, describe a change, open a run with its data."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from trainwright import catalog as registry
from trainwright.engine.inference import load
from trainwright.engine.session import read_config
from trainwright.runs.folder import Run


def studied(plan: str, study: Path, *words: str) -> list[dict[str, Any]]:
    """Run missing experiments of a plan, one thread each, and return the rows of its table."""
    command = [sys.executable, "-m", "trainwright", "plan", "run", plan, *words, "threads=1", "tracker=none"]
    subprocess.run([*command, "--study", str(study)], check=True)
    rows: list[dict[str, Any]] = json.loads((study / "table.json").read_text())["rows"]
    return rows


def opened(run: Run) -> tuple[Any, Any]:
    """Return (trained model, data) of a run."""
    family = registry.family(run.read()["family"])
    config = read_config(family, run)
    return load(family, run), family.load(config).open_data(config)


def changes(made: dict[str, Any]) -> str:
    """Return the change of an experiment in words."""
    return ", ".join(f"{k.rpartition('.')[2]} {_short(v)}" for k, v in made["change"].items()) or "none"


def _short(value: Any) -> str:
    return str(value["kind"]) if isinstance(value, dict) else str(value)

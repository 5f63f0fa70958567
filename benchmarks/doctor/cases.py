"""Writes ``tests/diagnosis/cases.json.gz``: for each symptom a run of the tuning half that has it, and healthy runs.

``python -m benchmarks.doctor.cases`` after ``python -m benchmarks.doctor.runs --half tuning``. Signals of real runs, rounded.
"""

import gzip
import json
from pathlib import Path
from typing import Any

from benchmarks.doctor.judge import doctor, load, wanted
from benchmarks.doctor.settings import Setting

FILE = Path(__file__).parents[2] / "tests" / "diagnosis" / "cases.json.gz"


def compact(setting: Setting, made: dict[str, Any]) -> dict[str, Any]:
    """Return signals as columns with four digits."""
    columns: dict[str, list[list[float]]] = {}
    for row in made["rows"]:
        for name, value in row.items():
            if (
                name in ("step", "epoch")
                or name.startswith(("speed/", "monitor/", "kl_histogram/"))
                or not isinstance(value, int | float)
            ):
                continue
            steps, values = columns.setdefault(name, [[], []])
            steps.append(row["step"])
            values.append(float(f"{value:.4g}"))
    kept = ("name", "kind", "symptom", "cause", "odd")
    found = {name: getattr(setting, name) for name in kept} | {
        name: made[name] for name in ("settings", "facts", "total", "looks")
    }
    right = sorted(wanted(setting, made)) if setting.symptom else []
    return {**found, "signals": columns, "foreign": "status" not in made, "wanted": right}


def main() -> None:
    """Write one run for each symptom and cause that the doctor names correctly, and one healthy run for each oddity.

    The cases of kinds without runs on this machine stay as they are.
    """
    runs = list(load("tuning"))
    here = {setting.kind for setting, _ in runs}
    before = json.loads(gzip.decompress(FILE.read_bytes())) if FILE.exists() else []
    chosen: dict[tuple[str, str, str], dict[str, Any]] = {
        (c["kind"], c["symptom"] or "healthy", c["cause"] or c["odd"]): c for c in before if c["kind"] not in here
    }
    for setting, made in runs:
        key = (setting.kind, setting.symptom or "healthy", setting.cause or setting.odd)
        said = doctor(setting, made)
        right = bool(said.found & wanted(setting, made)) if setting.symptom else said.alarm is None
        if key not in chosen and right:
            chosen[key] = compact(setting, made)
    text = json.dumps(list(chosen.values()), allow_nan=True)
    FILE.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{len(chosen)} cases, {FILE.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()

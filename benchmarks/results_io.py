"""Writing of a benchmark's rows together with their command, date and machine."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def write(name: str, command: str, rows: list[dict[str, Any]], **facts: Any) -> Path:
    """Write ``results/NAME.json`` in the format from which tables are generated."""
    file = RESULTS / f"{name}.json"
    result = {"name": name, "command": command, "date": datetime.now(UTC).date().isoformat(), "machine": machine()}
    file.write_text(json.dumps({**result, **facts, "rows": rows}, indent=2) + "\n")
    return file


def kept(name: str, but: str | None) -> list[dict[str, Any]]:
    """Return rows of ``results/NAME.json`` that do not start with ``but``: with ``--only``, the earlier results. None: none."""
    file = RESULTS / f"{name}.json"
    if but is None or not file.exists():
        return []
    return [r for r in json.loads(file.read_text())["rows"] if not r["metric"].startswith(but)]


def row(
    metric: str, value: float, unit: str, target: float | None, better: str, n: int, spread: float | None
) -> dict[str, Any]:
    """Return one row of a table."""
    return {
        "metric": metric, "value": _significant(value), "unit": unit, "target": target, "better": better, "n": n,
        "spread": None if spread is None else _significant(spread),
    }  # fmt: skip


def _significant(value: float) -> float:
    return float(f"{value:.4g}")


def machine() -> str:
    """Return processor, cores and system."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"

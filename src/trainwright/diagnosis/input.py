"""The history of a run folder, of a folder that ``trainwright.watch`` wrote, or of a foreign log: whatever the doctor is pointed at."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainwright.config.reading import read_yaml
from trainwright.diagnosis.history import History
from trainwright.diagnosis.importers import read as read_foreign
from trainwright.errors import UserError
from trainwright.runs.folder import Run


@dataclass(frozen=True)
class DiagnosisInput:
    """What is examined.

    Attributes:
        title: how to call it.
        history: its signals.
        family: of a Trainwright run.
        notes: sentences about what could not be read.
    """

    title: str
    history: History
    family: str | None = None
    notes: tuple[str, ...] = ()


def open_input(path: str | Path, given: Mapping[str, str], total: int | None = None) -> DiagnosisInput:
    """Reads whatever lies at ``path``.

    Args:
        path: a run folder, or a log that :mod:`trainwright.diagnosis.importers` reads.
        given: column -> signal, for a foreign log.
        total: steps that a foreign run was to have, if known.

    Raises:
        UserError: nothing is there, or nothing in it can be read.
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise UserError(
            f"{place}: no such file or folder. `trainwright runs` lists runs; a CSV, JSONL or TensorBoard log will do too."
        )
    if (place / "run.json").exists():
        if given:
            raise UserError("--map is for logs of other programs; the signals of this run have their names already.")
        return _run(Run(place))
    log = read_foreign(place, given)
    history = log.history
    history.total = total or history.total
    notes = [*log.notes, *(f"column {c} was read as {s}" for c, s in log.columns.items() if c != s)]
    notes += [f"not recognised: {', '.join(log.unused[:8])}; name them with --map COLUMN=SIGNAL"] if log.unused else []
    return DiagnosisInput(place.name, history, None, tuple(notes))


def _run(run: Run) -> DiagnosisInput:
    facts = run.read()
    known = dict(facts.get("facts") or {})
    crash = [e for e in run.events() if e["event"] == "non_finite"]
    if crash and facts.get("status") == "crashed":
        known["non_finite"] = {"step": crash[-1]["step"], "message": crash[-1].get("message")}
    known["experiments"] = [e for e in run.events() if e["event"] == "cause_test"]
    rows = run.rows()
    if facts.get("status") == "running" and run.metrics.exists():
        known.update(_waiting(run, rows, facts))
    history = History.of(rows, flat(read_yaml(run.config)), known, facts.get("steps"))
    return DiagnosisInput(run.name, history, facts["family"])


def _waiting(run: Run, rows: list[dict[str, Any]], facts: dict[str, Any]) -> dict[str, float]:
    """How long nothing has been written, and how long a row usually takes."""
    batch = flat(read_yaml(run.config)).get("train.batch_size", 1)
    speeds = [r["speed/samples_per_second"] for r in rows if r.get("speed/samples_per_second")]
    steps = np.diff([r["step"] for r in rows])
    if not speeds or not len(steps):
        return {}
    return {
        "seconds_since_row": time.time() - run.metrics.stat().st_mtime,
        "seconds_per_row": float(np.median(steps) * batch / np.median(speeds)),
    }


def flat(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as ``{"optim.lr_g": 0.0001}``; a schedule (a mapping with a ``kind``) stays whole."""
    found: dict[str, Any] = {}
    for key, value in mapping.items():
        if isinstance(value, Mapping) and "kind" not in value:
            found.update(flat(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = json.loads(json.dumps(value))
    return found

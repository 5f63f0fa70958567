"""Reading of the doctor's input: a run folder, a folder that ``trainwright.watch`` wrote, or a foreign log."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainwright.diagnosis.history import History
from trainwright.diagnosis.importers import read as read_foreign
from trainwright.diagnosis.signal_names import derive
from trainwright.errors import UserError

if TYPE_CHECKING:
    from trainwright.runs.folder import Run

NOT_FINITE = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}  # as a watch writes them


@dataclass(frozen=True)
class DiagnosisInput:
    """Input of one examination.

    Attributes:
        title: name for reports.
        history: its signals.
        family: the model family of a Trainwright run.
        notes: sentences about columns that were mapped or could not be read.
    """

    title: str
    history: History
    family: str | None = None
    notes: tuple[str, ...] = ()


def open_input(path: str | Path, given: Mapping[str, str], total: int | None = None) -> DiagnosisInput:
    """Read a run folder or a log.

    Args:
        path: a run folder, or a log that :mod:`trainwright.diagnosis.importers` reads.
        given: column -> signal, for a foreign log.
        total: planned number of steps of a foreign run, if known.

    Raises:
        UserError: ``path`` does not exist, or holds nothing that can be read.
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise UserError(
            f"{place}: no such file or folder. `trainwright runs` lists runs; CSV, JSONL and TensorBoard logs can be read too."
        )
    if (place / "run.json").exists():
        from trainwright.runs.folder import Run

        if given:
            raise UserError("--map is for logs of other programs; the signals of this run already have their names.")
        return _run(Run(place))
    if (place / "watch.json").exists() and (place / "metrics.jsonl").exists() and not given:
        return _watched(place, total)
    log = read_foreign(place, given)
    history = log.history
    history.total = total or history.total
    notes = [*log.notes, *(f"column {c} was read as {s}" for c, s in log.columns.items() if c != s)]
    notes += [f"not recognised: {', '.join(log.unused[:8])}; name them with --map COLUMN=SIGNAL"] if log.unused else []
    return DiagnosisInput(place.name, history, None, tuple(notes))


def _watched(place: Path, total: int | None) -> DiagnosisInput:
    """Read a folder that a watch wrote: all rows, with the settings and facts that it knew."""
    from trainwright.runs.folder import read_lines

    try:
        known = json.loads((place / "watch.json").read_text())
        settings, facts = dict(known["settings"]), dict(known["facts"])
        length = known.get("total")
        rows = [
            {k: NOT_FINITE.get(v, v) if isinstance(v, str) else v for k, v in row.items()}
            for row in read_lines(place / "metrics.jsonl")
            if isinstance(row.get("step"), int | float)
        ]
        history = History.of(rows, settings, facts, total or (None if length is None else int(length)))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{place / 'watch.json'} cannot be read ({error}); it was not written by trainwright.watch. "
            "Remove it to read metrics.jsonl alone."
        ) from None
    return DiagnosisInput(place.name, derive(history), None, ())


def _run(run: "Run") -> DiagnosisInput:
    facts = run.read()
    known = dict(facts.get("facts") or {})
    crash = [e for e in run.events() if e["event"] == "non_finite"]
    if crash and facts.get("status") == "crashed":
        known["non_finite"] = {"step": crash[-1]["step"], "message": crash[-1].get("message")}
    known["experiments"] = [e for e in run.events() if e["event"] == "cause_test"]
    rows = run.rows()
    if facts.get("status") == "running" and run.metrics.exists():
        known.update(_waiting(run, rows, facts))
    from trainwright.config.reading import read_yaml

    history = History.of(rows, flat(read_yaml(run.config)), known, facts.get("steps"))
    return DiagnosisInput(run.name, history, facts["family"])


def _waiting(run: "Run", rows: list[dict[str, Any]], facts: dict[str, Any]) -> dict[str, float]:
    """Return the seconds since the last row, and the usual seconds between rows."""
    from trainwright.config.reading import read_yaml

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
    """Flatten nested settings to ``{"optim.lr_g": 0.0001}``; a schedule (a mapping with a ``kind``) stays whole."""
    found: dict[str, Any] = {}
    for key, value in mapping.items():
        if isinstance(value, Mapping) and "kind" not in value:
            found.update(flat(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = json.loads(json.dumps(value))
    return found

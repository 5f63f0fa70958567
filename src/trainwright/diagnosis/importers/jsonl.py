"""JSON logs: lines of objects, a list of objects, ``trainer_state.json`` of Hugging Face, a Keras history."""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from trainwright.diagnosis.importers.columns import Log, NumberTable, encoding, flat
from trainwright.errors import UserError

CHUNK = 20_000  # lines at a time


def read(path: Path, step: str | None = None) -> Log:
    """Read a JSON file in any of these forms.

    Raises:
        UserError: it is not JSON, or no value in it is a number.
    """
    log = _whole(path, step) or _lines(path, step)
    if not log.columns:
        raise UserError(
            f"{path}: no numbers were found. A JSON log is lines (or a list) of objects such as "
            '{"step": 1, "loss": 0.5}, a trainer_state.json, or an object of lists.'
        )
    return log


def _whole(path: Path, step: str | None) -> Log | None:
    """Read the file as one JSON value; None if it consists of lines."""
    with path.open(encoding=encoding(path), errors="replace") as handle:
        first = handle.readline().strip()
        if first.startswith("{") and _object(first):
            second = next((line for line in handle if line.strip()), "")
            if second:
                return None
        handle.seek(0)
        try:
            value = json.load(handle)
        except ValueError:
            return None
    if isinstance(value, list):
        return _table(value).log("json", step)
    if not isinstance(value, Mapping):
        return None
    if isinstance(value.get("log_history"), list):
        log = _table(value["log_history"]).log("huggingface", step)
        most = value.get("max_steps")
        log.total = most if isinstance(most, int) and most > 0 else None
        return log
    inner = value["history"] if isinstance(value.get("history"), Mapping) else value
    lists = {name: series for name, series in inner.items() if isinstance(series, list)}
    if lists:
        longest = max(map(len, lists.values()))
        rows = ({n: s[i] for n, s in lists.items() if i < len(s)} for i in range(longest))
        return _table(rows).log("keras", step)
    return _table([value]).log("json", step)


def _lines(path: Path, step: str | None) -> Log:
    table, broken, whole = NumberTable(), 0, 0
    with path.open(encoding=encoding(path), errors="replace") as handle:
        while lines := list(islice(handle, CHUNK)):
            values = _parse(lines)
            rows = [v for v in values if isinstance(v, Mapping)]
            whole, broken = whole + len(rows), broken + sum(1 for line in lines if line.strip()) - len(rows)
            table.extend(_plain(rows))
            table.thin()
    if not whole:
        raise UserError(f"{path} is not a JSON log: none of its lines is a JSON object.")
    notes = [f"{broken} lines are not JSON objects and were skipped"] if broken else []
    return table.log("jsonl", step, notes)


def _parse(lines: list[str]) -> list[Any]:
    """Parse all lines at once, which is faster; one by one if one of them is invalid."""
    try:
        values = json.loads("[" + ",".join(line for line in lines if line.strip()) + "]")
        return list(values)
    except ValueError:
        return [value for line in lines if (value := _object(line)) is not None]


def _object(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _table(rows: Iterable[Any]) -> NumberTable:
    table = NumberTable()
    table.extend(_plain(r for r in rows if isinstance(r, Mapping)))
    return table


def _plain(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for row in rows:
        yield dict(flat(row)) if any(isinstance(v, Mapping) for v in row.values()) else row

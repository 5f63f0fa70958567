"""Readers of logs that other programs wrote: CSV, JSON, printed text, TensorBoard, W&B, MLflow, trackio.

A reader for each kind returns series under the column names of the log. This module maps them to the signals that symptoms use and
infers the kind of adversarial loss from their values. Nothing is guessed: columns that are not recognised are listed.
"""

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from trainwright.diagnosis.history import SPEED, History
from trainwright.diagnosis.importers.columns import Log
from trainwright.diagnosis.signal_names import check_mapping, derive, is_counter, is_ours, mapping, recognise
from trainwright.errors import UserError

Reader = Callable[[Path, str | None], Log]
SUFFIXES: Mapping[str, str] = {  # modules, imported when they are needed
    **dict.fromkeys((".csv", ".tsv"), "csv"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "jsonl"),
    ".wandb": "wandb",
}
PRINTED = (".log", ".txt", ".out", ".db", ".sqlite")  # further endings of logs, read by their content
WANDB, SQLITE = b":W&B", b"SQLite format 3\0"  # what such files begin with
# what JSON begins with: "[Epoch 1]" and "[3/50]" are printed text
JSON = re.compile(rb"\s*(?:\{\s*[\"}]|\[\s*(?:[\[{\"\]]|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?\s*[,\]]|null|NaN|-?Infinity))")
# usual names of logs in a folder, in order of preference
USUAL = (
    "metrics.jsonl",
    "trainer_state.json",
    "metrics.csv",
    "stats.jsonl",
    "progress.csv",
    "losses.csv",
    "history.json",
)
DEEPER = ("checkpoint-*/trainer_state.json", "version_*/metrics.csv", "lightning_logs/version_*/metrics.csv")


@dataclass(frozen=True)
class ForeignLog:
    """Log of another program, mapped to signals.

    Attributes:
        history: signals under their Trainwright names; settings are empty.
        columns: column -> signal.
        unused: numeric columns that were not recognised.
        kind: ``csv``, ``jsonl``, ``json``, ``keras``, ``huggingface``, ``text``, ``tensorboard``,
            ``wandb``, ``mlflow`` or ``trackio``.
        notes: sentences about choices: which of several runs was read, how steps were found, duplicate columns.
    """

    history: History
    columns: dict[str, str]
    unused: list[str]
    kind: str
    notes: tuple[str, ...] = ()


def read(path: str | Path, given: Mapping[str, str] | None = None, step: str | None = None) -> ForeignLog:
    """Read a log of any known kind.

    Args:
        path: a file or a folder.
        given: column -> signal, for columns that are not recognised or are recognised wrongly.
        step: the column that counts steps; None: it is found by its name, else rows are counted.

    Raises:
        UserError: the log cannot be read, or ``given`` names a column or signal that does not exist.
    """
    place = Path(path).expanduser()
    try:
        log = _reader(place)(step)
    except OSError as error:
        raise UserError(f"{place} cannot be read ({error.strerror or error}).") from None
    return named(place, log, given or {})


def named(place: Path, log: Log, given: Mapping[str, str]) -> ForeignLog:
    """Map the columns of a log to signals.

    Args:
        place: for messages.
        log: what a reader returned.
        given: column -> signal, by the user.

    Raises:
        UserError: there is no column beside steps and times, or ``given`` names what does not exist.
    """
    check_mapping(given, log.columns)
    columns = {
        c: s for c, s in log.columns.items() if c in given or not (is_counter(c) or c.startswith(SPEED))
    }  # a counter may be mapped by hand
    if not columns:
        raise UserError(f"{place}: there is no numeric column other than steps and times.")
    found = mapping(columns, given, {c: len(s) for c, s in columns.items()})
    history = derive(
        History(
            {found[c]: columns[c] for c in found},
            facts={"log": log.kind, "ours": is_ours(columns), "columns": list(log.columns)},
            total=log.total,
        )
    )
    dropped = [
        c for c, s in found.items() if s in ("discriminator/real", "discriminator/fake") and s not in history.signals
    ]
    notes = list(log.notes)
    if dropped:
        notes.append(
            f"{', '.join(dropped)}: not used, since their values do not identify them as losses of the discriminator"
        )
        found = {c: s for c, s in found.items() if c not in dropped}
    same = [c for c in columns if c not in found and c not in dropped and recognise(c) in found.values()]
    if same:
        notes.append(f"not used, since another column holds the same signal: {', '.join(same[:8])}")
    unused = [c for c in columns if c not in found and c not in dropped and c not in same]
    others = {  # judged where the meaning does not matter, as for a NaN
        f"other/{c}": columns[c] for c in [*unused, *dropped, *same]
    }
    clocks = {c: s for c, s in log.columns.items() if c not in columns}
    history = History(history.signals | others, history.settings, history.facts, history.total, clocks=clocks)
    return ForeignLog(history, found, unused, log.kind, tuple(notes))


def _reader(place: Path) -> Callable[[str | None], Log]:
    if not place.exists():
        raise UserError(f"{place}: no such file or folder.")
    if place.is_dir():
        return _folder(place)
    return lambda step: _file(place)(place, step)


def _file(place: Path) -> Reader:
    with place.open("rb") as handle:
        start = handle.read(8192)
    if not start.strip():
        raise UserError(f"{place} is empty.")
    if start.startswith(WANDB) or place.suffix == ".wandb":
        return _reads("wandb")
    if "tfevents" in place.name:
        return _reads("tensorboard")
    if start.startswith(SQLITE):
        return _database(place)
    if b"\0" in start.rstrip(b"\0\r\n") and start[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError(
            f"{place} is a binary file of an unknown kind. Supported: CSV, JSON, printed text, TensorBoard event files, W&B runs, "
            "databases of MLflow and trackio."
        )
    if place.suffix.lower() in SUFFIXES:
        return _reads(SUFFIXES[place.suffix.lower()])
    if JSON.match(start.removeprefix(b"\xef\xbb\xbf")):
        return _reads("jsonl")
    from trainwright.diagnosis.importers import text
    from trainwright.diagnosis.importers.columns import encoding

    with place.open(encoding=encoding(place), errors="replace") as lines:
        first = [line[:2000] for line in islice(lines, 80) if line.strip()]
    return text.read if text.looks_like(first) else _table_or_text


def _table_or_text(place: Path, step: str | None) -> Log:
    """Read a table; if it is none, the text of a program that prints numbers late."""
    from trainwright.diagnosis.importers import csv, text

    try:
        return csv.read(place, step)
    except UserError as error:
        try:
            return text.read(place, step)
        except UserError:
            raise error from None


def _database(place: Path) -> Reader:
    """Return the reader of the tracker that a database belongs to."""
    from trainwright.diagnosis.importers import mlflow, sqlite, trackio

    for one in (mlflow, trackio):
        if sqlite.has(place, *one.TABLE):
            return one.read
    raise UserError(f"{place} is a SQLite database, but neither of MLflow nor of trackio.")


def _reads(name: str) -> Reader:
    """Return the reader of a module of this folder."""
    reader: Reader = importlib.import_module(f"{__name__}.{name}").read
    return reader


def _folder(place: Path) -> Callable[[str | None], Log]:
    named = [place / name for name in USUAL if (place / name).is_file()]
    if named:
        return lambda step: _file(named[0])(named[0], step)
    from trainwright.diagnosis.importers import mlflow, tensorboard, wandb

    for reader, there in (
        (wandb.read, wandb.run_files),
        (tensorboard.read, tensorboard.event_files),
        (mlflow.read, mlflow.run_folders),
    ):
        if there(place):
            return lambda step, reader=reader: reader(place, step)  # type: ignore[misc]
    deeper = [max(found, key=_number) for pattern in DEEPER if (found := list(place.glob(pattern)))]
    logs = deeper or sorted(f for f in place.iterdir() if f.suffix.lower() in (*SUFFIXES, *PRINTED) and f.is_file())
    if not logs:
        raise UserError(
            f"{place} holds no log that can be read: no CSV, JSON or text file, no TensorBoard events, no run of W&B or MLflow."
        )
    if len(logs) > 1 and not deeper:
        raise UserError(f"{place} holds several logs: name one of {', '.join(f.name for f in logs[:8])}.")
    return lambda step: _file(logs[0])(logs[0], step)


def _number(file: Path) -> int:
    """Return the number in the name of the folder: ``checkpoint-500``, ``version_3``."""
    return int("".join(c for c in file.parent.name if c.isdigit()) or 0)

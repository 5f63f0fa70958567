"""Common form of all logs before names are mapped, and assignment of steps to rows."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trainwright.diagnosis.history import Series
from trainwright.diagnosis.signal_names import EPOCH, epoch_column, step_column
from trainwright.errors import UserError, nearest


@dataclass
class Log:
    """Log with a series for each numeric column, under the name of the column.

    Attributes:
        kind: ``csv``, ``jsonl``, ``json``, ``keras``, ``huggingface``, ``tensorboard`` or ``wandb``.
        columns: name -> series.
        notes: sentences about choices made while reading.
        total: planned number of steps, if the log contains it.
    """

    kind: str
    columns: dict[str, Series]
    notes: list[str] = field(default_factory=list)
    total: int | None = None


MOST_ROWS = 1_000_000  # of a table or of lines in memory; a longer log is thinned as it is read
NOT_FINITE = 10_000  # readings that are not finite, kept whatever else is dropped
RARE = 0.125  # of MOST_ROWS; none of a column with fewer readings is dropped: held-out losses, samples
Cells = tuple[np.ndarray, np.ndarray]


@dataclass
class Thinning:
    """Which rows of a log that is too long stay in memory.

    Attributes:
        numbers: number in the file of each row that was kept, from 0.
        next: number of the next row that will be read.
        stride: of the rows that are kept.
    """

    numbers: np.ndarray = field(default_factory=lambda: np.arange(0))
    next: int = 0
    stride: int = 1

    def count(self, size: int) -> np.ndarray:
        """Return the number of each of ``size`` rows in memory."""
        return np.append(self.numbers, self.next + np.arange(size - len(self.numbers)))

    def keep(self, columns: Iterable[Cells], size: int) -> np.ndarray:
        """Choose rows at an even stride, those of columns that are rare, and those that are not finite; return which (size,)."""
        numbers = self.count(size)
        self.next = int(numbers[-1]) + 1
        keep = numbers % self.stride == 0
        while np.count_nonzero(keep) > MOST_ROWS / 2:
            self.stride *= 2
            keep = numbers % self.stride == 0
        keep[-1] = True
        for at, values in columns:
            rare = at if len(at) < RARE * MOST_ROWS else at[~np.isfinite(values)][:NOT_FINITE]
            if np.count_nonzero(keep) + len(rare) < 0.8 * MOST_ROWS:
                keep[rare] = True
        self.numbers = numbers[keep]
        return keep


class NumberTable:
    """Sparse table of numeric cells by column and row; beyond ``MOST_ROWS`` rows are dropped.

    ``size`` counts the rows in memory.
    """

    def __init__(self) -> None:
        self.size = 0
        self._cells: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {}
        self._thinning = Thinning()

    def thin(self) -> None:
        """Drop rows if there are too many; to be called between two chunks."""
        if self.size <= MOST_ROWS:
            return
        cells = self.columns()
        keep = self._thinning.keep(cells.values(), self.size)
        place = np.cumsum(keep) - 1
        self._cells = {n: ([place[at[keep[at]]]], [values[keep[at]]]) for n, (at, values) in cells.items()}
        self.size = int(keep.sum())

    def put(self, column: str, rows: np.ndarray, values: np.ndarray) -> None:
        """Add cells of one column."""
        parts = self._cells.setdefault(column, ([], []))
        parts[0].append(rows)
        parts[1].append(values)

    def extend(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows of names and numbers; numbers may be strings, other values are skipped."""
        found: dict[str, tuple[list[int], list[float]]] = {}
        for row in rows:
            for name, value in row.items():
                number = value if type(value) is float or type(value) is int else as_number(value)
                if number is not None:
                    at, values = found.setdefault(name, ([], []))
                    at.append(self.size)
                    values.append(number)
            self.size += 1
        for name, (at, values) in found.items():
            self.put(name, np.array(at), np.array(values, dtype=float))

    def columns(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return name -> (rows, values), with increasing rows."""
        return {
            name: (np.concatenate(at), np.concatenate(values))
            for name, (at, values) in self._cells.items()
            if sum(map(len, at))
        }

    def log(self, kind: str, step: str | None, notes: Iterable[str] = ()) -> Log:
        """Make a log in which every cell has the step of its row.

        Raises:
            UserError: there is no column ``step``.
        """
        cells, said = self.columns(), list(notes)
        name = step or step_column(cells)
        if step is not None and step not in cells:
            raise UserError(f"there is no numeric column {step!r} for the steps.{nearest(step, cells)}")
        steps = self._steps(cells, name, said)
        return Log(kind, {c: rising(steps[at], v) for c, (at, v) in cells.items() if c != name}, said)

    def _steps(self, cells: dict[str, tuple[np.ndarray, np.ndarray]], name: str | None, said: list[str]) -> np.ndarray:
        counted = self._thinning.count(self.size) + 1.0
        if name is None:
            said.append("no column counts steps, so rows were counted")
            return counted
        steps = self._filled(cells[name])
        fullest = max((at for c, (at, _) in cells.items() if c != name), key=len, default=np.arange(0))
        if name.strip().lower() in EPOCH and len(fullest) > 8 and len(np.unique(steps[fullest])) < 0.5 * len(fullest):
            said.append(f"{name} is constant over several rows, so rows were counted")
            return counted
        back = np.flatnonzero(np.diff(steps) < 0) + 1
        if not len(back):
            return steps
        epochs = epoch_column(c for c in cells if c != name)
        if epochs is not None:
            number = self._filled(cells[epochs])
            if np.mean(number[back] > number[back - 1]) > 0.9:
                said.append(f"{name} restarts in every {epochs}, so steps are {epochs} x rows per {epochs} + {name}")
                return (number - number[0]) * (steps.max() - steps.min() + 1) + steps
        if len(back) > 2:
            said.append(f"{name} decreases {len(back)} times, so rows were counted")
            return counted
        said.append(
            f"{name} decreases at row {back[0] + 1}: steps that a resumed run repeated replace the earlier ones"
        )
        return steps

    def _filled(self, cells: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Return a value for each row; an empty cell takes the value of the previous row."""
        at, values = cells[0][np.isfinite(cells[1])], cells[1][np.isfinite(cells[1])]
        if not len(at):
            return np.arange(1, self.size + 1, dtype=float)
        where = np.searchsorted(at, np.arange(self.size), side="right") - 1
        return np.asarray(values[np.maximum(where, 0)], dtype=float)


def rising(steps: np.ndarray, values: np.ndarray) -> Series:
    """Make a series with increasing steps; of repeated steps the last written value is kept."""
    steps, values = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    if len(steps) > 1:
        later = np.minimum.accumulate(steps[::-1])[::-1]
        keep = np.append(steps[:-1] < later[1:], True)
        steps, values = steps[keep], values[keep]
    return Series(steps, values)


def encoding(path: Path) -> str:
    """Return the encoding that the first bytes of a file indicate."""
    with path.open("rb") as handle:
        start = handle.read(4)
    return "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def as_number(value: Any) -> float | None:
    """Return a number, also from a string (``nan``, ``-inf``, ``tensor(0.5)``); else None."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return float("inf")
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("tensor("):
            text = text[7:].split(",")[0].rstrip(")")
        try:
            return None if "_" in text else float(text)
        except ValueError:
            return None
    return None


def flat(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield names and values of nested objects, names joined by ``/``.

    A statistic such as StyleGAN's ``{"num": 4, "mean": 0.5}`` is read as its mean.
    """
    for name, value in row.items():
        if isinstance(value, Mapping):
            if "mean" in value and set(value) <= {"num", "mean", "std", "min", "max", "count"}:
                yield f"{prefix}{name}", value["mean"]
            else:
                yield from flat(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value

"""CSV logs: any delimiter, byte-order marks, quotes, empty cells, no header, a truncated last row."""

import csv
import re
from collections.abc import Iterator
from itertools import chain, islice, zip_longest
from pathlib import Path

import numpy as np

from trainwright.diagnosis.importers.columns import Log, NumberTable, as_number, encoding
from trainwright.errors import UserError

CHUNK = 50_000  # rows at a time, so that a long log need not fit in memory as text
DELIMITERS = (",", ";", "\t", "|", ":", " ")
EXPORT = {"wall time", "step", "value"}  # columns of a TensorBoard download; the tag is in the file name


def read(path: Path, step: str | None = None) -> Log:
    """Read a CSV file.

    Raises:
        UserError: it is not a table, or no column holds numbers.
    """
    try:
        return _read(path, step)
    except csv.Error as error:
        raise UserError(f"{path} cannot be read as a table ({error}).") from None


def _read(path: Path, step: str | None) -> Log:
    with path.open(encoding=encoding(path), errors="replace", newline="") as handle:
        delimiter = delimiter_of([line for line in islice(handle, 50) if line.strip()])
        handle.seek(0)
        cells = csv.reader(_unbroken(handle), delimiter=delimiter, skipinitialspace=True)
        rows: Iterator[list[str]] = (row for row in cells if any(row))
        first = next(rows, None)
        if first is None:
            raise UserError(f"{path} is empty.")
        while first[0].startswith("#") and (second := next(rows, None)) is not None:
            if all(as_number(c) is not None for c in second if c):
                rows = chain([second], rows)  # "# step loss" is a header
                break
            first = second  # a comment above the header
        names, notes, table = _names(first, path, delimiter), [], NumberTable()
        if all(as_number(c) is not None for c in first if c):
            names = [str(i + 1) for i in range(len(first))]
            notes.append("the file has no header, so its columns are named 1, 2, ...")
            _fill(table, names, [first], delimiter)
        while chunk := list(islice(rows, CHUNK)):
            _fill(table, names, chunk, delimiter)
            table.thin()
    fullest = max((len(values) for _, values in table.columns().values()), default=0)
    if not fullest or (delimiter == " " and fullest <= 0.5 * table.size):  # prose has blanks and a few numbers too
        raise UserError(f"{path}: no column holds numbers. A CSV log has a header line and rows of numbers.")
    return table.log("csv", step, notes)


def _names(first: list[str], path: Path, delimiter: str) -> list[str]:
    """Return unique names from a header; a first column without a name (pandas) is an index."""
    names = [c.strip().lstrip("#").strip() for c in first]
    if not names[0] and delimiter == " ":
        names = names[1:]  # "# step loss", as numpy.savetxt writes it
    if {n.lower() for n in names} == EXPORT:
        tag = re.sub(r"^.*tag-", "", path.stem)
        return [tag if n.lower() == "value" else n for n in names]
    unique: list[str] = []
    for i, name in enumerate(names):
        name = name or ("index" if i == 0 else f"column {i + 1}")
        unique.append(f"{name} ({i + 1})" if name in unique else name)
    return unique


def delimiter_of(lines: list[str]) -> str:
    """Return the delimiter that splits most lines into the same number of cells; a comma if none does."""
    best, score = ",", 0.0
    for mark in DELIMITERS:
        counts = [len(next(csv.reader([line.strip()], delimiter=mark, skipinitialspace=True), [])) for line in lines]
        usual = max(set(counts), key=counts.count) if counts else 1
        agree = counts.count(usual) / len(counts) if usual > 1 else 0.0
        if agree > score + 0.05:
            best, score = mark, agree
    return best


def _unbroken(lines: Iterator[str]) -> Iterator[str]:
    """Yield lines without the NUL bytes that a crash may leave at the end of a file."""
    for line in lines:
        yield line.replace("\0", "") if "\0" in line else line


def _fill(table: NumberTable, names: list[str], rows: list[list[str]], delimiter: str) -> None:
    cells = zip_longest(*rows, fillvalue="")
    for name, column in zip(names, cells, strict=False):
        try:
            table.put(
                name, np.arange(table.size, table.size + len(rows)), np.fromiter(map(float, column), float, len(rows))
            )
        except ValueError:
            _sparse(table, name, column, delimiter != ",")
    table.size += len(rows)


def _sparse(table: NumberTable, name: str, column: tuple[str, ...], comma: bool) -> None:
    """Add the numeric cells of a column; text, such as a header repeated after a restart, is skipped."""
    at, values = [], []
    for i, cell in enumerate(column):
        if not cell:
            continue
        number = as_number(cell)
        if number is None and comma and cell.count(",") == 1:
            number = as_number(cell.replace(",", "."))
        if number is not None:
            at.append(table.size + i)
            values.append(number)
    if at:
        table.put(name, np.array(at), np.array(values))

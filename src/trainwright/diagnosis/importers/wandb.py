"""W&B runs from their ``.wandb`` file, without a network: LevelDB's log format around protobuf records.

The file starts with ``:W&B``, a magic number and a version (7 bytes), followed by blocks of 32 KiB. A record in a block has a CRC-32
of type and data, a length, a type (1 whole, 2 first part, 3 middle, 4 last) and the data.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainwright.diagnosis.importers import wire
from trainwright.diagnosis.importers.columns import Log, NumberTable, flat
from trainwright.errors import UserError

HEADER = b":W&B"
BLOCK = 32 * 1024
HEAD = 7  # bytes before the data of a record, and of the file
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4
CHUNK = 20_000  # records at a time
OWN = ("_runtime", "_timestamp", "_wandb")


def run_files(folder: Path) -> list[Path]:
    """Return the ``.wandb`` files of a run folder, or of a folder of run folders; oldest first."""
    found = {
        f.resolve() for pattern in ("*.wandb", "*run-*/*.wandb", "wandb/*run-*/*.wandb") for f in folder.glob(pattern)
    }
    return sorted(found, key=lambda f: (f.parent.name.removeprefix("offline-"), f.name))


def read(path: Path, step: str | None = None) -> Log:
    """Read a ``.wandb`` file, or the newest in a folder.

    Raises:
        UserError: the file is not a W&B run, or nothing was logged in it.
    """
    files = [path] if path.is_file() else run_files(path)
    if not files:
        raise UserError(f"{path} holds no W&B run.")
    file = files[-1]
    notes = [f"of {len(files)} runs the newest was read, {file.parent.name}"] if len(files) > 1 else []
    table, damaged = NumberTable(), 0
    rows: list[Mapping[str, Any]] = []
    for data in records(file):
        try:
            if data is None:
                raise ValueError
            rows += [_row(v) for field, v in wire.fields(data) if field == 2 and isinstance(v, bytes)]
        except ValueError:
            damaged += 1
        if len(rows) >= CHUNK:
            table.extend(rows)
            table.thin()
            rows = []
    table.extend(rows)
    if not table.columns():
        raise UserError(f"{file}: nothing was logged in this W&B run.")
    if damaged:
        notes.append(f"{damaged} damaged records were skipped")
    return table.log("wandb", step, notes)


def records(file: Path) -> Iterator[bytes | None]:
    """Yield payloads in order; None for a damaged one. A truncated last record is skipped.

    Raises:
        UserError: the file does not start with the header of a W&B run.
    """
    with file.open("rb") as handle:
        if handle.read(4) != HEADER:
            raise UserError(f"{file} is not a W&B run file: it does not start with {HEADER.decode()}.")
        handle.seek(0)
        parts: list[bytes] | None = None
        start = HEAD
        while block := handle.read(BLOCK):
            for kind, data in _fragments(block, start):
                if kind == WHOLE:
                    yield data
                    parts = None
                elif kind == FIRST:
                    parts = [data] if data is not None else None
                elif data is None or parts is None:
                    parts = None
                    if kind != MIDDLE:
                        yield None
                else:
                    parts.append(data)
                    if kind == LAST:
                        yield b"".join(parts)
                        parts = None
            start = 0


def _fragments(block: bytes, at: int) -> Iterator[tuple[int, bytes | None]]:
    """Yield (type, data) of the parts in a block; data is None if the checksum is wrong."""
    while at + HEAD <= len(block):
        crc, length, kind = struct.unpack_from("<IHB", block, at)
        end = at + HEAD + length
        if kind not in (WHOLE, FIRST, MIDDLE, LAST) or end > len(block):
            return  # padding, or a truncated record
        good = zlib.crc32(memoryview(block)[at + 6 : end]) == crc
        yield kind, block[at + HEAD : end] if good else None
        at = end


def _row(history: bytes) -> dict[str, Any]:
    """Return the numbers of one call of ``wandb.log`` by name, from a HistoryRecord (fields of wandb_internal.proto by number)."""
    row: dict[str, Any] = {}
    for field, value in wire.fields(history):
        if field == 2 and isinstance(value, bytes):
            row["_step"] = next((wire.signed(v) for f, v in wire.fields(value) if f == 1), 0)
        elif field == 1 and isinstance(value, bytes):
            _add(row, value)
    row.setdefault("_step", 0)
    return row


def _add(row: dict[str, Any], item: bytes) -> None:
    """Add the number, or the numbers, of a HistoryItem."""
    name, nested, found = "", [], None
    for field, value in wire.fields(item):
        if field == 1:
            name = wire.text(value)
        elif field == 2:
            nested.append(wire.text(value))
        elif field in (8, 16):
            found = _parsed(wire.text(value))
        elif field == 6:
            found = wire.number(value)
        elif field == 5 and isinstance(value, int):
            found = float((value >> 1) ^ -(value & 1))  # zigzag
    name = name or "/".join(nested)
    if found is None or name.split("/")[0] in OWN:
        return
    if isinstance(found, Mapping):
        if "_type" not in found:
            row.update(flat(found, f"{name}/"))
    else:
        row[name] = found


def _parsed(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        try:
            return json.loads(text)
        except ValueError:
            return None

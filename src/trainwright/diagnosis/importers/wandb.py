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

from trainwright.diagnosis.importers.columns import Log, NumberTable, flat
from trainwright.errors import UserError

HEADER = b":W&B"
BLOCK = 32 * 1024
HEAD = 7  # bytes before the data of a record, and of the file
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4
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
        UserError: W&B is not installed, or the file is not a W&B run.
    """
    files = [path] if path.is_file() else run_files(path)
    if not files:
        raise UserError(f"{path} holds no W&B run.")
    file = files[-1]
    notes = [f"of {len(files)} runs the newest was read, {file.parent.name}"] if len(files) > 1 else []
    try:
        from google.protobuf.message import DecodeError
        from wandb.proto import wandb_internal_pb2
    except ImportError:
        raise UserError(f"{file} is a W&B run: reading it needs `pip install trainwright[wandb]`.") from None

    parse: Any = wandb_internal_pb2.__dict__["Record"].FromString
    table, damaged = NumberTable(), 0
    rows: list[Mapping[str, Any]] = []
    for data in records(file):
        try:
            record = parse(data) if data is not None else None
        except DecodeError:
            record = None
        if record is None:
            damaged += 1
        elif record.HasField("history"):
            rows.append(_row(record.history))
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


def _row(history: Any) -> dict[str, Any]:
    """Return the numbers of one call of ``wandb.log``, by name."""
    row: dict[str, Any] = {"_step": history.step.num}
    for item in history.item:
        name = item.key or "/".join(item.nested_key)
        if name.split("/")[0] in OWN:
            continue
        text = item.value_json
        try:
            row[name] = float(text)
        except ValueError:
            try:
                value = json.loads(text)
            except ValueError:
                continue
            if isinstance(value, Mapping):
                if "_type" not in value:
                    row.update(flat(value, f"{name}/"))
            else:
                row[name] = value
    return row

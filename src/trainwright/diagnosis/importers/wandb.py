"""W&B runs from their ``.wandb`` file, without a network: LevelDB's log format around protobuf records.

The file is ``:W&B``, a magic number and a version (7 bytes), then blocks of 32 KiB. A record in a block is a CRC-32 of type and data, a
length, a type (1 whole, 2 first part, 3 middle, 4 last) and the data.
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
    """The ``.wandb`` files in a run folder, or in the folder that holds run folders; oldest first."""
    found = {
        f.resolve() for pattern in ("*.wandb", "*run-*/*.wandb", "wandb/*run-*/*.wandb") for f in folder.glob(pattern)
    }
    return sorted(found, key=lambda f: (f.parent.name.removeprefix("offline-"), f.name))


def read(path: Path, step: str | None = None) -> Log:
    """Reads a ``.wandb`` file, or the newest in a folder.

    Raises:
        UserError: W&B is not installed, or the file is not one of its.
    """
    files = [path] if path.is_file() else run_files(path)
    if not files:
        raise UserError(f"{path} holds no W&B run.")
    file = files[-1]
    notes = [f"{len(files)} runs: the newest, {file.parent.name}, was read"] if len(files) > 1 else []
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
        notes.append(f"{damaged} damaged records were passed over")
    return table.log("wandb", step, notes)


def records(file: Path) -> Iterator[bytes | None]:
    """Payloads in order; None for a damaged one. A record that a crash tore at the end is not there.

    Raises:
        UserError: the file does not begin as it must.
    """
    with file.open("rb") as handle:
        if handle.read(4) != HEADER:
            raise UserError(f"{file} is not a W&B run file: it does not begin with {HEADER.decode()}.")
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
    """(type, data) of the parts in a block; data is None where the checksum is wrong."""
    while at + HEAD <= len(block):
        crc, length, kind = struct.unpack_from("<IHB", block, at)
        end = at + HEAD + length
        if kind not in (WHOLE, FIRST, MIDDLE, LAST) or end > len(block):
            return  # padding, or torn
        good = zlib.crc32(memoryview(block)[at + 6 : end]) == crc
        yield kind, block[at + HEAD : end] if good else None
        at = end


def _row(history: Any) -> dict[str, Any]:
    """One call of ``wandb.log``: numbers by name."""
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

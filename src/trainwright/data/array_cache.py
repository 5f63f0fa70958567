"""Arrays that are computed once and memory-mapped afterwards, by key: decoded images and videos, Gaussians, latents.

An entry is a folder with one file for each array and an ``index.json`` with types, shapes, checksums and the maker's own facts. It
appears under its name once it is complete. If several processes need the same entry, one makes it and the others wait.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock

from trainwright.errors import UserError
from trainwright.files import atomic_folder, sha256

INDEX = "index.json"
CHECKED = (
    256 << 20
)  # bytes: of a larger array only the size is checked, since a checksum would read all of it on opening


@dataclass(frozen=True)
class Entry:
    """Arrays of the cache.

    Attributes:
        arrays: by name, memory-mapped, read only.
        facts: further values that the maker stores with the arrays, as JSON returns them.
    """

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]


class Writer:
    """Appends rows to the arrays of a new entry, so that none has to fit into memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, BinaryIO] = {}
        self._dtypes: dict[str, np.dtype] = {}
        self._rows: dict[str, tuple[int, ...]] = {}
        self._lengths: dict[str, int] = {}

    def append(self, name: str, rows: np.ndarray) -> None:
        """Add ``rows`` (n, ...) to array ``name``; the first ones set its type and the shape of a row."""
        dtype = rows.dtype.newbyteorder("<")
        if name not in self._files:
            self._files[name] = (self._folder / f"{name}.bin").open("wb")
            self._dtypes[name], self._rows[name], self._lengths[name] = dtype, rows.shape[1:], 0
        if (dtype, rows.shape[1:]) != (self._dtypes[name], self._rows[name]):
            raise ValueError(f"{name}: rows of {rows.dtype} {rows.shape[1:]} after rows of another type or shape")
        self._files[name].write(np.ascontiguousarray(rows, dtype).tobytes())
        self._lengths[name] += len(rows)

    def truncate(self, name: str, length: int) -> None:
        """Remove all rows of array ``name`` but the first ``length``."""
        if name not in self._files:
            return
        file, size = self._files[name], int(np.prod(self._rows[name])) * self._dtypes[name].itemsize
        file.flush()
        file.seek(length * size)
        file.truncate()
        self._lengths[name] = length

    def finish(self, facts: dict[str, Any]) -> None:
        """Close the files and write the index."""
        self.close()
        arrays = {
            name: {
                "dtype": self._dtypes[name].str,
                "shape": [self._lengths[name], *self._rows[name]],
                "sha256": sha256(self._folder / f"{name}.bin"),
            }
            for name in self._files
        }
        (self._folder / INDEX).write_text(json.dumps({"arrays": arrays, "facts": facts}), encoding="utf-8")

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


def cache_root() -> Path:
    """Return ``$TRAINWRIGHT_CACHE``, or ``trainwright`` in the user's cache folder."""
    own = os.environ.get("TRAINWRIGHT_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "trainwright"


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock on the entry ``name`` while this process makes it; a killed process releases its lock."""
    locks = cache_root() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / name):
        yield


@contextlib.contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn a failed write to the cache into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"data: {what} cannot be written to {cache_root()} ({error.strerror}). "
            "Free some space or set TRAINWRIGHT_CACHE to another folder."
        ) from None


def cached(kind: str, key: str, make: Callable[[Writer], dict[str, Any]]) -> Entry:
    """Return an entry of the cache, made now if it is missing.

    Args:
        kind: subfolder of the cache.
        key: a hash of everything that determines the content.
        make: appends the arrays and returns facts for JSON.

    Raises:
        UserError: the entry is damaged, or from ``make``.
    """
    folder = cache_root() / "arrays" / kind / key
    if not (folder / INDEX).exists():
        with locked(f"{kind}-{key}"):
            if not (folder / INDEX).exists():
                with atomic_folder(folder) as temporary:
                    _make(temporary, make)
    return _open(folder)


def _make(folder: Path, make: Callable[[Writer], dict[str, Any]]) -> None:
    writer = Writer(folder)
    try:
        writer.finish(make(writer))
    finally:
        writer.close()


def _open(folder: Path) -> Entry:
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        arrays = {name: _map(folder / f"{name}.bin", about) for name, about in index["arrays"].items()}
        return Entry(arrays, index["facts"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"data: the cache {folder} is damaged; remove that folder and run again.") from None


def _map(file: Path, about: dict[str, Any]) -> np.ndarray:
    dtype, shape = np.dtype(about["dtype"]), tuple(about["shape"])
    size = int(np.prod(shape)) * dtype.itemsize
    if file.stat().st_size != size or (size <= CHECKED and sha256(file) != about["sha256"]):
        raise ValueError(f"{file.name} differs from what was written")
    return np.memmap(file, dtype, "r", shape=shape)

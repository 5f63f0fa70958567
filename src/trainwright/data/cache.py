"""Images decoded once, in parallel, into a memory-mapped array that is keyed by what is in it.

The key is a hash of every file's name and content and of every setting that changes the pixels, so an edited folder or
another size makes a new array and an unchanged one is found again. Interrupted work leaves no half-written array.
"""

import contextlib
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from trainwright.data.config import Images
from trainwright.data.decode import decode
from trainwright.data.fingerprint import fingerprints
from trainwright.data.sources import Item, items
from trainwright.errors import UserError
from trainwright.files import atomic_folder

VERSION = 1
Progress = Callable[[int, int], None]
DECODED_BY = ("size", "channels", "background", "fit", "interpolation", "on_error")


@dataclass(frozen=True)
class ImageSet:
    """All images of a source.

    Attributes:
        pixels: (N, size, size, channels) uint8, memory-mapped, read only.
        digests: one SHA-256 in hex for each image, of its decoded pixels.
        names: where each came from.
        skipped: (name, reason) of files that ``on_error: skip`` passed over.
        identity: hash over all digests: two runs with the same identity saw the same data.
    """

    pixels: np.ndarray
    digests: list[str]
    names: list[str]
    skipped: list[tuple[str, str]]
    identity: str


def cache_root() -> Path:
    """``$TRAINWRIGHT_CACHE``, or ``trainwright`` in the user's cache folder."""
    own = os.environ.get("TRAINWRIGHT_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "trainwright"


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """While one process makes the entry ``name`` of the cache, others wait here. A process that is killed lets go."""
    locks = cache_root() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / name):
        yield


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """An entry of the cache, made now if it is not there: of several workers one makes it, the others wait; all or nothing.

    Args:
        folder: where it lies; complete as soon as it holds ``index.json``.
        make: writes it into an empty folder.
    """
    if not (folder / "index.json").exists():
        with locked(folder.name):
            if not (folder / "index.json").exists():
                with atomic_folder(folder) as temporary:
                    make(temporary)
    return folder


@contextlib.contextmanager
def writing(what: str) -> Iterator[None]:
    """Says what to do if the cache cannot be written to."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"data: {what} cannot be written to {cache_root()} ({error.strerror}). "
            "Free some space or set TRAINWRIGHT_CACHE to another folder."
        ) from None


def load(config: Images, progress: Progress | None = None) -> ImageSet:
    """The decoded images of ``config.source``, from the cache or made now.

    Raises:
        UserError: no such folder, no images, or (with ``on_error: fail``) a file that is no image, by name.
    """
    found = items(config.source)
    with writing("the decoded images"):
        folder = cache_root() / "images" / _key(found, fingerprints(found, config.source, cache_root()), config)
        made_once(folder, lambda t: _decode_all(found, config, t, progress or (lambda done, total: None)))
    return _open(folder)


def _key(found: list[Item], contents: list[str], config: Images) -> str:
    settings = config.model_dump(mode="json", include=set(DECODED_BY))
    names = [item.name for item in found]
    text = json.dumps([VERSION, settings, names, contents], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _decode_all(found: list[Item], config: Images, folder: Path, progress: Progress) -> None:
    shape = (config.size, config.size, config.channels)
    digests: list[str] = []
    names: list[str] = []
    skipped: list[tuple[str, str]] = []
    with (folder / "pixels.bin").open("wb") as out:
        for done, (item, result) in enumerate(_in_parallel(found, config), 1):
            if isinstance(result, ValueError):
                if config.on_error == "fail":
                    raise UserError(
                        f"data: {item.name} {result}. Remove it, or leave such files out with data.on_error=skip."
                    )
                skipped.append((item.name, str(result)))
            else:
                assert result.shape == shape
                data = np.ascontiguousarray(result).tobytes()
                out.write(data)
                digests.append(hashlib.sha256(data).hexdigest())
                names.append(item.name)
            progress(done, len(found))
    if not names:
        raise UserError(f"data: none of the {len(found)} files in {config.source!r} is an image that can be read.")
    index = {"shape": [len(names), *shape], "digests": digests, "names": names, "skipped": skipped}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def _in_parallel(found: Iterable[Item], config: Images) -> Iterator[tuple[Item, Any]]:
    """Decodes in threads (PIL releases the interpreter lock), in order, with a bounded number in flight."""
    workers = config.workers or os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers)
    waiting: deque[tuple[Item, Future[Any]]] = deque()
    try:
        for item in found:
            waiting.append((item, pool.submit(_try, item, config)))
            if len(waiting) >= 8 * workers:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _try(item: Item, config: Images) -> np.ndarray | ValueError:
    try:
        return decode(item, config)
    except ValueError as error:
        return error


def _open(folder: Path) -> ImageSet:
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    shape = tuple(index["shape"])
    if (folder / "pixels.bin").stat().st_size != int(np.prod(shape)):
        raise UserError(f"data: the cached images in {folder} are damaged; remove that folder and run again.")
    pixels = np.memmap(folder / "pixels.bin", dtype=np.uint8, mode="r", shape=shape)
    identity = hashlib.sha256("".join(index["digests"]).encode()).hexdigest()[:16]
    skipped = [(name, reason) for name, reason in index["skipped"]]
    return ImageSet(pixels, index["digests"], index["names"], skipped, identity)

"""Images decoded once, in parallel, into the array cache.

The key is a hash of every file's name and content and of every setting that changes the pixels. An edited folder or another size
makes a new array; an unchanged folder is found again.
"""

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainwright.data.array_cache import Writer, cache_root, cached, writing
from trainwright.data.config import Images
from trainwright.data.decode import decode
from trainwright.data.fingerprint import fingerprints
from trainwright.data.sources import Item, items
from trainwright.errors import UserError

VERSION = 1
Progress = Callable[[int, int], None]
DECODED_BY = ("size", "channels", "background", "fit", "interpolation", "on_error")


@dataclass(frozen=True)
class ImageSet:
    """All images of a source.

    Attributes:
        pixels: (N, size, size, channels) uint8, memory-mapped, read only.
        digests: one SHA-256 in hex for each image, of its decoded pixels.
        names: source of each image.
        skipped: (name, reason) of files that ``on_error: skip`` skipped.
        identity: hash over all digests: two runs with the same identity saw the same data.
    """

    pixels: np.ndarray
    digests: list[str]
    names: list[str]
    skipped: list[tuple[str, str]]
    identity: str


def load(config: Images, progress: Progress | None = None) -> ImageSet:
    """Return the decoded images of ``config.source``, from the cache or decoded now.

    Raises:
        UserError: no such folder, no images, or (with ``on_error: fail``) a file that is not an image, by name.
    """
    found = items(config.source)
    with writing("the decoded images"):
        key = _key(found, fingerprints(found, config.source, cache_root()), config)
        entry = cached("images", key, lambda w: _decode_all(found, config, w, progress or (lambda done, total: None)))
    pixels, facts = entry.arrays["pixels"], entry.facts
    identity = hashlib.sha256("".join(facts["digests"]).encode()).hexdigest()[:16]
    skipped = [(name, reason) for name, reason in facts["skipped"]]
    return ImageSet(pixels, facts["digests"], facts["names"], skipped, identity)


def _key(found: list[Item], contents: list[str], config: Images) -> str:
    settings = config.model_dump(mode="json", include=set(DECODED_BY))
    names = [item.name for item in found]
    text = json.dumps([VERSION, settings, names, contents], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _decode_all(found: list[Item], config: Images, writer: Writer, progress: Progress) -> dict[str, Any]:
    shape = (config.size, config.size, config.channels)
    digests: list[str] = []
    names: list[str] = []
    skipped: list[tuple[str, str]] = []
    for done, (item, result) in enumerate(_in_parallel(found, config), 1):
        if isinstance(result, ValueError):
            if config.on_error == "fail":
                raise UserError(f"data: {item.name} {result}. Remove it, or skip such files with data.on_error=skip.")
            skipped.append((item.name, str(result)))
        else:
            assert result.shape == shape
            writer.append("pixels", result[None])
            digests.append(hashlib.sha256(np.ascontiguousarray(result).tobytes()).hexdigest())
            names.append(item.name)
        progress(done, len(found))
    if not names:
        raise UserError(f"data: none of the {len(found)} files in {config.source!r} is an image that can be read.")
    return {"digests": digests, "names": names, "skipped": skipped}


def _in_parallel(found: Iterable[Item], config: Images) -> Iterator[tuple[Item, Any]]:
    """Decode in threads, in order, with a bounded number in flight; PIL releases the interpreter lock."""
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

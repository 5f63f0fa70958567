"""The content hash of every file of a source; files whose size and time are unchanged are not read again."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trainwright.data.sources import Item
from trainwright.files import sha256, write_json


def fingerprints(found: list[Item], source: str, root: Path) -> list[str]:
    """Return one hash for each item, in order; they are cached under ``root``.

    A file that cannot be read gets the hash of its name: decoding reports the reason.
    """
    memory = root / "manifests" / f"{hashlib.sha256(str(Path(source).resolve()).encode()).hexdigest()[:32]}.json"
    known: dict[str, list[str]] = {}
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}

    def one(item: Item) -> str:
        stamp, digest = known.get(item.name, ["", ""])
        return digest if stamp == item.stamp else _hash(item)

    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(one, found))
    fresh = {item.name: [item.stamp, digest] for item, digest in zip(found, digests, strict=True)}
    if fresh != known:
        write_json(memory, fresh)
    return digests


def _hash(item: Item) -> str:
    if item.path is None:
        return hashlib.sha256(f"{item.name}:{item.stamp}".encode()).hexdigest()
    try:
        return sha256(item.path)
    except OSError:
        return hashlib.sha256(f"unreadable:{item.name}".encode()).hexdigest()

"""Sources of videos: files, or the packaged ones."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from trainwright.data.sources import file_stamp, walk
from trainwright.errors import UserError, nearest

BUILTIN = {
    "clips": "three videos of 192x108: a city (190 frames), a cartoon (132) and the turning Earth (301)",
    "square": "a square that moves and changes its colour by a rule, 240 frames, generated",
}
SQUARE_FRAMES = 240


@dataclass(frozen=True)
class Video:
    """One video that has not been read yet; ``path`` is None for the square."""

    name: str
    stamp: str  # size and time of the file; for a packaged one its content hash
    path: Path | None


def videos(source: str) -> list[Video]:
    """Return every file of a source in a stable order.

    Raises:
        UserError: there is no such file or folder, or it is empty.
    """
    place = Path(source).expanduser()
    if source == "square" and not place.exists():
        return [Video("square", str(SQUARE_FRAMES), None)]
    if source == "clips" and not place.exists():
        folder = Path(str(files("trainwright.data") / "builtin" / "clips"))
        return [Video(p.name, hashlib.sha256(p.read_bytes()).hexdigest()[:16], p) for p in sorted(folder.glob("*.mp4"))]
    if place.is_file():
        return [Video(place.name, file_stamp(place), place)]
    if not place.is_dir():
        raise UserError(
            f"data: {source!r} is neither a video, a folder nor one of: {', '.join(BUILTIN)}.{nearest(source, BUILTIN)}"
        )
    found = [Video(str(p.relative_to(place)), file_stamp(p), p) for p in walk(place)]
    if not found:
        raise UserError(f"data: no files in {source!r}; give a folder that holds MP4, WebM, MKV, AVI or GIF videos.")
    return found


def square(size: int) -> Iterator[np.ndarray]:
    """Return the dummy video of the video VAE-GAN guide: a moving square on black.

    In frame i the square, a quarter of the side, is at (5i, 3i) and has the colour (10i, 5i, 2i), all wrapped.
    """
    side = size // 4
    for i in range(SQUARE_FRAMES):
        frame = np.zeros((size, size, 3), np.uint8)
        x, y = (5 * i) % (size - side), (3 * i) % (size - side)
        frame[y : y + side, x : x + side] = [(10 * i) % 255, (5 * i) % 255, (2 * i) % 255]
        yield frame

"""Sources of images: a folder tree of image files, or the packaged sprites, emoji and photographs."""

import csv
import functools
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from PIL import Image

from trainwright.errors import UserError, nearest

BUILTIN = {
    "sprites": "949 creatures and items of Dungeon Crawl Stone Soup, 32x32 RGBA, CC0",
    "emoji": "1,897 Noto emoji, 32x32 RGBA, Apache-2.0",
    "photos": "1,165 patches of 64x64 cut side by side from 30 CC0 photographs and textures",
}
SHEET_SIDE = 32
PATCH_SIDE = 64


@dataclass(frozen=True)
class Item:
    """One image that may not have been read yet: its name for messages, and a function that opens it."""

    name: str
    open: Callable[[], Image.Image]
    stamp: str  # size and time of the file: while they are unchanged, its content hash is not computed again
    path: Path | None = None  # None for a packaged image, whose stamp is a content hash already


def items(source: str) -> list[Item]:
    """Return every image of a source in a stable order.

    Files whose names are not those of images (``.txt``, hidden files) are items too. The caller's ``on_error`` decides whether
    they stop the run or are skipped and listed.

    Raises:
        UserError: the folder is missing, is not a folder, cannot be read, or holds no files.
    """
    folder = Path(source).expanduser()
    if source in BUILTIN and not folder.exists():
        return list(_photos() if source == "photos" else _sheet(source))
    if not folder.exists():
        raise UserError(
            f"data: {source!r} is neither a folder nor one of: {', '.join(BUILTIN)}.{nearest(source, BUILTIN)}"
        )
    if not folder.is_dir():
        raise UserError(f"data: {source!r} is a file; give the folder that holds the images.")
    found = [_file_item(path, folder) for path in walk(folder)]
    if not found:
        raise UserError(f"data: no files in {source!r}; give a folder that holds PNG, JPEG, WebP or GIF images.")
    return found


def walk(folder: Path) -> Iterator[Path]:
    """Return every file below a folder in a stable order, without hidden ones; a UserError if a folder cannot be read."""

    def refuse(error: OSError) -> None:
        raise UserError(f"data: {error.filename} cannot be read ({error.strerror}).")

    for root, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and name not in {"Thumbs.db", "desktop.ini"}:
                yield Path(root) / name


def file_stamp(path: Path) -> str:
    """Return size and time of a file: while they are unchanged, its content is taken to be the same."""
    try:
        stat = path.stat()
    except OSError:
        return "unreadable"
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def _file_item(path: Path, folder: Path) -> Item:
    return Item(str(path.relative_to(folder)), lambda: Image.open(path), file_stamp(path), path)


def _sheet(name: str) -> Iterator[Item]:
    """Return the tiles of a packaged sheet, row by row; its table has their names in the same order."""
    folder = files("trainwright.data") / "builtin"
    data = (folder / f"{name}_sheet.png").read_bytes()
    stamp = hashlib.sha256(data).hexdigest()[:16]
    sheet = Image.open(io.BytesIO(data)).convert("RGBA")
    columns = sheet.width // SHEET_SIDE
    with (folder / f"{name}_sheet.csv").open(encoding="utf-8") as table:
        for index, row in enumerate(csv.DictReader(table)):
            left, top = SHEET_SIDE * (index % columns), SHEET_SIDE * (index // columns)
            box = (left, top, left + SHEET_SIDE, top + SHEET_SIDE)
            yield Item(row["name"], functools.partial(sheet.crop, box), stamp)


def _photos() -> Iterator[Item]:
    """Return adjacent patches of each packaged photograph, from the top left; the remainder at the edges is not used."""
    folder = files("trainwright.data") / "builtin" / "photos"
    for name in sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".jpg")):
        data = (folder / name).read_bytes()
        stamp = hashlib.sha256(data).hexdigest()[:16]
        photo = Image.open(io.BytesIO(data)).convert("RGB")
        for top in range(0, photo.height - PATCH_SIDE + 1, PATCH_SIDE):
            for left in range(0, photo.width - PATCH_SIDE + 1, PATCH_SIDE):
                box = (left, top, left + PATCH_SIDE, top + PATCH_SIDE)
                title = f"{name.removesuffix('.jpg')}/{top:03d}_{left:03d}"
                yield Item(title, lambda photo=photo, box=box: photo.crop(box), stamp)  # type: ignore[misc]

"""Reading of text levels as boards: arrays of symbol numbers on one canvas size, with a digest that symmetric copies share.

Sokoban levels are read in the XSB alphabet. What lies outside of the walls is made a symbol of its own, since floor the
player can never see would otherwise be most of a padded board. With other symbols (platform games, mazes) rows are
taken as they are.
"""

import gzip
import hashlib
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from trainwright.data.levels.config import ALPHABET, SYMBOLS
from trainwright.errors import UserError, nearest

WALL, FLOOR, BOX, GOAL, BOX_ON_GOAL, PLAYER, PLAYER_ON_GOAL, OUTSIDE = range(8)
FLOOR_IN_FILES = str.maketrans("-_", "  ")  # XSB files also write floor as - or _, which mail and web pages keep
BUILTIN = {"sokoban": "921 Sokoban levels by David W. Skinner, GRIGoRusha and Martin Gerhardy"}
SUFFIXES = (".txt", ".sok", ".xsb")
METADATA = re.compile(r"\s*[^\W\d_][^#:]*:")  # Title: ..., Author: ...

Row = tuple[int, str]  # line number from 1, text


@dataclass(frozen=True)
class Level:
    """One level as its author drew it.

    Attributes:
        name: the comment before it, or its file and line.
        rows: (h, w) uint8, numbers of symbols.
    """

    name: str
    rows: np.ndarray


def read(source: str, symbols: str = SYMBOLS) -> list[Level]:
    """Return every level of a source, in the order of files and lines.

    Levels are separated by blank lines. Lines that start with ``;`` are comments, and the first before a level names it.
    Files are UTF-8 text, or that in gzip.

    Sokoban files may hold metadata (``Title: ...``) and prose between levels, both skipped. Each level is cropped to what
    its walls enclose; floor that can be walked to from beyond the level becomes ``OUTSIDE``, also where a wall is open.

    Args:
        source: ``sokoban``, one file, or a folder, of which all ``*.txt``, ``*.sok`` and ``*.xsb`` are read (also
            ``.gz``), subfolders included.
        symbols: the alphabet; symbol ``i`` becomes the number ``i``. With others than Sokoban's, rows are taken as they are
            and short ones are filled with the first symbol. If space is a symbol, only an empty line is blank.

    Raises:
        UserError: no such source, no levels in it, a file that is not text, an unknown symbol (by file and line), or an
            alphabet that cannot be read.
    """
    sokoban = symbols in (SYMBOLS, ALPHABET)
    _check_alphabet(symbols)
    levels = []
    for file, data in _contents(source):
        for name, rows in _blocks(_text(file, data), sokoban, " " in symbols):
            if sokoban:
                rows = _without_prose(rows)
            if rows:
                numbers = _numbers(file, rows, SYMBOLS if sokoban else symbols)
                drawn = _mark_outside(numbers) if sokoban else numbers
                levels.append(Level(name or f"{file}:{rows[0][0]}", drawn))
    if not levels:
        raise UserError(
            f"data: no levels in {source!r}; give a file, or a folder with {', '.join('*' + s for s in SUFFIXES)} "
            f"(also .gz), of rows in the symbols {symbols!r} and blank lines between levels."
        )
    return levels


def _check_alphabet(symbols: str) -> None:
    if not 2 <= len(symbols) <= 256 or len(set(symbols)) < len(symbols):
        raise UserError(f"data: symbols {symbols!r} should be 2 to 256 different characters.")
    if set(symbols) & set(";\r\n\t"):
        raise UserError(f"data: symbols {symbols!r} hold ';', a tab or a line break, which level files use otherwise.")


def _contents(source: str) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of each file of levels."""
    path = Path(source).expanduser()
    if source in BUILTIN and not path.exists():
        packaged = files("trainwright.data") / "builtin" / f"{source}.txt.gz"
        yield packaged.name, packaged.read_bytes()
        return
    if not path.exists():
        raise UserError(
            f"data: {source!r} is neither a file, a folder nor one of: {', '.join(BUILTIN)}.{nearest(source, BUILTIN)}"
        )
    try:
        for file in _walk(path) if path.is_dir() else [path]:
            yield str(file), file.read_bytes()
    except OSError as error:
        raise UserError(f"data: {error.filename} cannot be read ({error.strerror}).") from None


def _walk(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise error

    for root, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and name.lower().removesuffix(".gz").endswith(SUFFIXES):
                yield Path(root) / name


def _text(file: str, data: bytes) -> str:
    try:
        if data.startswith(b"\x1f\x8b"):  # gzip, under any name
            data = gzip.decompress(data)
        text = data.decode("utf-8-sig")
    except (UnicodeDecodeError, OSError, EOFError, zlib.error):
        raise UserError(f"data: {file} is not a text file; save it as UTF-8 text or remove it.") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _blocks(text: str, sokoban: bool, space_is_symbol: bool) -> Iterator[tuple[str, list[Row]]]:
    """(name or "", rows) of each run of lines that are neither blank, nor comments, nor metadata."""
    name, rows = "", []
    named = False  # whether a comment since the last blank line or level gave the name
    after = False  # whether a level has ended since the last blank line: its comments are not the next one's name
    for number, line in enumerate(text.split("\n"), 1):
        blank = not line.strip() and (sokoban or not space_is_symbol or not line)
        comment = line.startswith(";")
        if not (blank or comment or (sokoban and METADATA.match(line))):
            rows.append((number, line))
            continue
        if rows:
            yield name, rows
            name, rows, named, after = "", [], False, True
        if comment and not named:
            name, named = line[1:].strip(), True
        if blank:
            name, named, after = "" if after else name, False, False
    if rows:
        yield name, rows


def _without_prose(rows: list[Row]) -> list[Row]:
    """Return the rows of a level: from the first to the last with a wall or with only known symbols."""
    known = set(SYMBOLS + "-_")
    plausible = [i for i, (_, line) in enumerate(rows) if "#" in line or set(line) <= known]
    if not any("#" in line for _, line in rows):
        return []
    return rows[plausible[0] : plausible[-1] + 1]


def _numbers(file: str, rows: list[Row], symbols: str) -> np.ndarray:
    """(h, w) uint8. Short rows are filled up with floor, in other alphabets than Sokoban's with the first symbol."""
    filling = FLOOR if symbols == SYMBOLS else 0
    number_of = {symbol: i for i, symbol in enumerate(symbols)}
    width = max(len(line) for _, line in rows)
    board = np.full((len(rows), width), filling, np.uint8)
    for y, (number, line) in enumerate(rows):
        row = line.translate(FLOOR_IN_FILES) if symbols == SYMBOLS else line
        unknown = next((symbol for symbol in row if symbol not in number_of), None)
        if unknown is not None:
            raise UserError(
                f"data: {file}, line {number}: unknown symbol {unknown!r}; known are {symbols!r}. "
                "A line that is no part of a level starts with ';'."
            )
        board[y, : len(row)] = [number_of[symbol] for symbol in row]
    return board


def _mark_outside(rows: np.ndarray) -> np.ndarray:
    """Floor that is joined to the border by anything but walls becomes OUTSIDE; margins of it are cut off."""
    padded = np.pad(rows, 1, constant_values=OUTSIDE)
    inside = flood(padded == OUTSIDE, padded != WALL)[1:-1, 1:-1]
    return _crop(np.where(inside & (rows == FLOOR), OUTSIDE, rows).astype(np.uint8), OUTSIDE)


def flood(start: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Cells joined to ``start`` through ``free`` ones by 4-neighbourhood; ``start`` itself counts where it is free.

    Args:
        start: (..., H, W) bool.
        free: (..., H, W) bool.

    Returns:
        (..., H, W) bool.
    """
    from scipy import ndimage

    cross = ndimage.generate_binary_structure(2, 1).reshape((1,) * (start.ndim - 2) + (3, 3))
    return np.asarray(ndimage.binary_propagation(start & free, cross, mask=free))


def _crop(rows: np.ndarray, pad: int) -> np.ndarray:
    kept = rows != pad
    if not kept.any():
        return rows[:1, :1]
    ys, xs = np.flatnonzero(kept.any(1)), np.flatnonzero(kept.any(0))
    return rows[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]


def place(level: Level, height: int, width: int, pad: int = OUTSIDE) -> np.ndarray | None:
    """Return the level in the middle of a canvas, or None if it does not fit.

    An odd cell of room goes to the bottom or right.

    Args:
        level: its rows are (h, w).
        height: of the canvas.
        width: of the canvas.
        pad: number of the symbol around it; 0, the first, for other alphabets than Sokoban's.

    Returns:
        (height, width) uint8, or None.
    """
    h, w = level.rows.shape
    if h > height or w > width:
        return None
    board = np.full((height, width), pad, np.uint8)
    top, left = (height - h) // 2, (width - w) // 2
    board[top : top + h, left : left + w] = level.rows
    return board


def symmetries(board: np.ndarray) -> np.ndarray:
    """The distinct ones among the 8 symmetries of a square canvas, or among the 4 that keep a rectangle's shape.

    Args:
        board: (H, W).

    Returns:
        (K, H, W), K from 1 to 8, the board itself first.
    """
    quarter_turns = range(4) if board.shape[0] == board.shape[1] else (0, 2)
    turned = [np.rot90(side, k) for side in (board, np.fliplr(board)) for k in quarter_turns]
    return np.stack(list({form.tobytes(): form for form in turned}.values()))


def canonical(board: np.ndarray, pad: int = OUTSIDE) -> bytes:
    """The smallest form of a board: equal for copies that are turned, mirrored, or placed elsewhere on a canvas.

    Margins are cut first, as a level with an odd cell of room and its mirror image are not placed symmetrically.

    Args:
        board: (H, W) numbers of symbols.
        pad: number of the symbol that margins are made of; 0 for other alphabets than Sokoban's.

    Returns:
        Height and width as two bytes each, then the cells row by row.
    """
    cropped = _crop(board.astype(np.uint8), pad)
    turned = (np.rot90(side, k) for side in (cropped, np.fliplr(cropped)) for k in range(4))
    return min(b"".join(n.to_bytes(2, "big") for n in form.shape) + form.tobytes() for form in turned)


def digest(board: np.ndarray, pad: int = OUTSIDE) -> str:
    """Hex SHA-256 of the canonical form, so that ``data.split`` puts a level and its symmetric copies on one side."""
    return hashlib.sha256(canonical(board, pad)).hexdigest()


def board_text(board: np.ndarray, symbols: str = ALPHABET) -> str:
    """The (H, W) board as rows of text, one line each."""
    return "\n".join("".join(symbols[number] for number in row) for row in board)

"""Levels as the training loop uses them: training batches by position, held-out levels, images."""

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainwright.data.levels import points as made
from trainwright.data.levels import tiles
from trainwright.data.levels.config import KINDS, LevelData
from trainwright.data.levels.drawing import draw_levels
from trainwright.data.split import split
from trainwright.data.stream import batch_indices
from trainwright.errors import UserError

STREAMS = {"train": 1, "held_out": 2}  # of the random table; 0 is what batches are drawn from
FIXED = 0x5EED
MOST_IMAGES = 4096  # drawn of levels that are generated without end


def open_levels(config: LevelData) -> "MadePoints | Kept":
    """Return the levels of a config.

    Raises:
        UserError: no such source, no levels, or none that fits.
    """
    if config.source in KINDS:
        return MadePoints(config)
    return _own_points(config) if config.of_points else _tiles(config)


class Levels(ABC):
    """Interface of both kinds of levels."""

    def __init__(self, config: LevelData, symbols: str) -> None:
        self.config, self.symbols = config, symbols
        self.skipped: list[tuple[str, str]] = []

    @abstractmethod
    def some(self, part: str, count: int) -> Tensor:
        """Fixed levels of ``train`` or ``held_out``."""

    def images(self, part: str, count: int) -> Tensor:
        """Return the levels of :meth:`some` as images: (n, C, h, w) in [-1, 1]."""
        return draw_levels(self.some(part, min(count, MOST_IMAGES)), self.config)


class MadePoints(Levels):
    """Levels that are generated on request; no two batches of a run hold the same level."""

    def __init__(self, config: LevelData) -> None:
        super().__init__(config, "")

    def __len__(self) -> int:
        return self.config.epoch_size

    @property
    def identity(self) -> str:
        """Hash of the settings that determine the levels."""
        kept = self.config.model_dump(
            mode="json", include={"source", "points", "clusters", "cluster_distance", "order"}
        )
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]

    def _make(self, seed: int, stream: int, start: int, size: int) -> np.ndarray:
        c = self.config
        found = made.draw(c.source, seed, stream, start, size, c.points, c.clusters, c.cluster_distance)
        return made.ordered(found, c.order)

    def fetch(self, seed: int, start: int, size: int) -> np.ndarray:
        """Levels ``start`` to ``start + size`` of the run's own endless sequence: (size, T, 2)."""
        return self._make(seed, 0, start, size)

    def prepare(self, raw: Tensor) -> Tensor:
        """Return (B, T, 2) unchanged."""
        return raw

    def some(self, part: str, count: int) -> Tensor:
        """Return (count, T, 2) levels that are the same in every run and in no batch."""
        return torch.from_numpy(self._make(FIXED, STREAMS[part], 0, count))


@dataclass
class LevelTable:
    """Stored levels and their split, in an order that does not depend on files.

    Attributes:
        levels: (N, ...).
        digests: hash of each level; symmetric copies share one.
        train: indices of the training levels.
        held_out: indices of the held-out levels.
        fit: number of distinct levels that fit the canvas, and number of levels in the source.
    """

    levels: np.ndarray
    digests: list[str]
    train: np.ndarray
    held_out: np.ndarray
    fit: tuple[int, int]


class Kept(Levels):
    """Levels that are stored, in files or in the package."""

    def __init__(self, config: LevelData, symbols: str, table: LevelTable) -> None:
        super().__init__(config, symbols)
        self.table = table

    def __len__(self) -> int:
        return len(self.table.train)

    @cached_property
    def identity(self) -> str:
        """Hash of all levels."""
        return hashlib.sha256(np.ascontiguousarray(self.table.levels).tobytes()).hexdigest()[:16]

    def fetch(self, seed: int, start: int, size: int) -> np.ndarray:
        """A shuffled batch: (size, T, 2) float32 or (size, H, W) uint8."""
        return self.table.levels[self.table.train[batch_indices(seed, start, size, len(self))]]

    def prepare(self, raw: Tensor) -> Tensor:
        """Return points unchanged and symbols as int64."""
        return raw if not self.symbols else raw.long()

    def some(self, part: str, count: int) -> Tensor:
        """Up to ``count`` fixed levels, spread over the part."""
        chosen: np.ndarray = getattr(self.table, part)
        few = (
            chosen[np.linspace(0, len(chosen) - 1, min(count, len(chosen))).round().astype(int)]
            if len(chosen)
            else chosen
        )
        return self.prepare(torch.from_numpy(self.table.levels[few]))


def _own_points(config: LevelData) -> Kept:
    path = Path(config.source).expanduser()
    try:
        found = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"data: no file {config.source!r}.") from None
    except (OSError, ValueError, EOFError):
        raise UserError(
            f"data: {config.source} is not a .npy file of plain numbers; save one with numpy.save."
        ) from None
    if found.ndim != 3 or found.shape[2] != 2 or len(found) < 4 or not np.issubdtype(found.dtype, np.number):
        raise UserError(
            f"data: {config.source} has the shape {found.shape}; points are (levels, points, 2), at least 4 levels."
        )
    if not np.isfinite(found).all() or found.min() < 0 or found.max() > 1:
        raise UserError(
            f"data: {config.source} has numbers from {found.min():.3g} to {found.max():.3g}; scale the points to [0, 1]."
        )
    levels = made.ordered(found.astype(np.float32), config.order)
    digests = [hashlib.sha256(level.tobytes()).hexdigest() for level in levels]
    order = sorted(range(len(levels)), key=digests.__getitem__)  # a file may be sorted by kind
    levels, digests = levels[order], [digests[i] for i in order]
    train, held_out = split(digests, config.held_out)
    return Kept(config, "", LevelTable(levels, digests, train, held_out, (len(levels), len(levels))))


def _tiles(config: LevelData) -> Kept:
    levels, symbols = tiles.read(config.source, config.alphabet), config.alphabet
    pad = tiles.OUTSIDE if config.sokoban else 0
    rows, columns = config.size
    boards: dict[str, np.ndarray] = {}
    for level in levels:
        board = tiles.place(level, rows, columns, pad)
        if board is not None:
            boards.setdefault(tiles.digest(board, pad), board)
    if len(boards) < 4:
        advice = "a larger data.size" if len(levels) >= 4 else "more levels"
        raise UserError(
            f"data: {len(boards)} different ones of the {len(levels)} levels in {config.source!r} fit {rows} x {columns} tiles; "
            f"at least 4 are needed. Give {advice}."
        )
    copies = [(digest, copy) for digest in sorted(boards) for copy in _copies(boards[digest], config.symmetries)]
    digests = [digest for digest, _ in copies]
    train, held_out = split(digests, config.held_out)
    table = LevelTable(np.stack([c for _, c in copies]), digests, train, held_out, (len(boards), len(levels)))
    return Kept(config, symbols, table)


def _copies(board: np.ndarray, symmetries: bool) -> Any:
    return tiles.symmetries(board) if symmetries else board[None]

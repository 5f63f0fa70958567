"""Levels as images: a dot for each point, a small image for each tile."""

import colorsys

import torch
from torch import Tensor

from trainwright.data.levels.config import LevelData

SIDE = 64
DOT = 1.2  # standard deviation of a dot, in pixels of an image of 64
REACH = 3

# XSB symbols in the order of trainwright.data.levels.tiles: wall, floor, box, goal, box on goal, player, player on goal, outside
SOKOBAN = (
    (92, 84, 78), (236, 228, 208), (196, 132, 56), (224, 120, 120), (120, 168, 72), (56, 104, 192), (128, 88, 184), (250, 250, 250),
)  # fmt: skip


def draw_levels(levels: Tensor, config: LevelData) -> Tensor:
    """(B, T, 2) points or (B, H, W) symbols, as the config says, -> (B, C, h, w) in [-1, 1]."""
    if config.of_points:
        return draw_points(levels)
    return draw_tiles(levels, len(config.alphabet), config.sokoban)


def draw_points(points: Tensor, side: int = SIDE) -> Tensor:
    """(B, T, 2) in the unit square -> (B, 1, side, side) in [-1, 1]: dark dots on white, the y axis upwards.

    Points outside the square and points that are not finite are not drawn.
    """
    where = torch.nan_to_num(points.float(), nan=-9.0, posinf=-9.0, neginf=-9.0) * (side - 1)
    x, y = where[..., 0], (side - 1) - where[..., 1]
    width, reach = DOT * side / SIDE, max(1, round(REACH * side / SIDE))
    offsets = torch.arange(-reach, reach + 1, device=points.device)
    columns, rows = x.round()[..., None] + offsets, y.round()[..., None] + offsets  # (B, T, K)
    across = torch.exp(-0.5 * ((columns - x[..., None]) / width).square())
    down = torch.exp(-0.5 * ((rows - y[..., None]) / width).square())
    ink = down[..., :, None] * across[..., None, :]  # (B, T, K, K)
    inside = ((rows >= 0) & (rows < side))[..., :, None] & ((columns >= 0) & (columns < side))[..., None, :]
    place = rows.clamp(0, side - 1)[..., :, None] * side + columns.clamp(0, side - 1)[..., None, :]
    canvas = torch.zeros(len(points), side * side, device=points.device)
    canvas.scatter_reduce_(1, place.long().flatten(1), (ink * inside).flatten(1), "amax")
    return 1 - 2 * canvas.view(-1, 1, side, side)


def draw_tiles(boards: Tensor, count: int, sokoban: bool, side: int = SIDE) -> Tensor:
    """(B, H, W) tile numbers below ``count`` -> (B, 3, H·k, W·k) in [-1, 1], k pixels a tile: the longer side is about ``side``."""
    pixels = max(4, side // max(boards.shape[1:]))
    icons = _icons(count, pixels, sokoban).to(boards.device)
    tiled = icons[boards.long()]  # (B, H, W, k, k, 3)
    b, h, w = boards.shape
    return tiled.permute(0, 5, 1, 3, 2, 4).reshape(b, 3, h * pixels, w * pixels)


def _icons(count: int, k: int, sokoban: bool) -> Tensor:
    """(count, k, k, 3) in [-1, 1]: a flat colour with a mark in the middle for what stands on the floor."""
    colours = torch.tensor(SOKOBAN if sokoban else _palette(count)).float() / 127.5 - 1
    icons = colours[:, None, None, :].expand(count, k, k, 3).clone()
    if not sokoban:
        return icons
    floor, edge = colours[1], max(1, k // 6)
    dark = colours[0] - 0.15
    icons[0, -edge:], icons[0, :, -edge:] = dark, dark
    for symbol in (2, 3, 4, 5, 6):
        icons[symbol, :edge], icons[symbol, -edge:] = floor, floor
        icons[symbol, :, :edge], icons[symbol, :, -edge:] = floor, floor
    low, high = k // 3, k - k // 3
    icons[3], icons[3, low:high, low:high] = floor, colours[3]
    for symbol in (4, 6):
        icons[symbol, low:high, low:high] = colours[3]
    return icons


def _palette(count: int) -> list[tuple[float, ...]]:
    """Colours that differ: hues by the golden angle, lightness in three steps."""
    hues = [(i * 0.381966) % 1 for i in range(count)]
    return [tuple(255 * c for c in colorsys.hls_to_rgb(h, 0.35 + 0.2 * (i % 3), 0.55)) for i, h in enumerate(hues)]

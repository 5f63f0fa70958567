"""Levels of points in the unit square: every level is a pure function of (seed, position), for any batch size.

Source of the distributions: the sequence VAE guide (docs/sources.md) and the program that it describes.
"""

from collections.abc import Callable

import numpy as np

from trainwright.metrics.point_sets import components

LINKS = (1, 5, 10, 15)
LINK_REACH = 0.05
NOISE = 0.05
TOGETHER = 0.08  # clusters of the mixture have a standard deviation of about 0.02
CORNERS = (3, 8)

Uniforms = np.ndarray  # (B, K) in [0, 1)


def uniforms(seed: int, stream: int, start: int, size: int, each: int) -> np.ndarray:
    """Rows ``start`` to ``start + size`` of an endless table of ``each`` uniform numbers: (size, each) in [0, 1).

    A counter-based generator (Philox) is set to the row, so nothing before it has to be drawn.
    """
    blocks = -(-each // 4)  # Philox gives four numbers at each count
    bits = np.random.Philox(key=np.array([seed, stream], np.uint64), counter=start * blocks)
    raw = bits.random_raw(size * blocks * 4).reshape(size, blocks * 4)[:, :each]
    return (raw >> np.uint64(11)) * 2.0**-53


def _normals(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Box and Muller: two standard normals (..., 2) for each pair."""
    radius = np.sqrt(-2 * np.log1p(-u))
    return np.stack([radius * np.cos(2 * np.pi * v), radius * np.sin(2 * np.pi * v)], -1)


def _uniform(u: Uniforms, points: int) -> np.ndarray:
    return u[:, : 2 * points].reshape(len(u), points, 2)


def mixture(u: Uniforms, points: int, clusters: tuple[int, int] = (3, 6), distance: float = 50.0) -> np.ndarray:
    """Clusters of unit covariance around centres in a square of side ``distance``, moved and scaled into the unit square.

    Each point belongs to any cluster with the same probability. The smallest of each axis is subtracted, then everything is
    divided by the largest number, so that the shape is kept and one axis may end below 1.
    """
    low, high = clusters
    count = low + np.floor(u[:, :1] * (high - low + 1)).astype(int)
    centres = u[:, 1 : 1 + 2 * high].reshape(len(u), high, 2) * distance
    rest = u[:, 1 + 2 * high : 1 + 2 * high + 3 * points].reshape(len(u), 3, points)
    owner = np.floor(rest[:, 0] * count).astype(int)
    found = np.take_along_axis(centres, owner[..., None], 1) + _normals(rest[:, 1], rest[:, 2])
    found -= found.min(1, keepdims=True)
    return found / found.max((1, 2), keepdims=True)


def _links(u: Uniforms, points: int) -> np.ndarray:
    length = np.array(LINKS)[np.floor(u[:, :1] * len(LINKS)).astype(int)]
    owner = np.arange(points)[None] // length
    table = u[:, 1 : 1 + 4 * points].reshape(len(u), 2, points, 2)
    centres = np.take_along_axis(table[:, 0], owner[..., None], 1)
    return np.clip(centres + LINK_REACH * (2 * table[:, 1] - 1), 0, 1)


def _polygon(u: Uniforms, points: int) -> np.ndarray:
    low, high = CORNERS
    corners = low + np.floor(u[:, :1] * (high - low + 1))
    turn = 2 * np.pi * u[:, 1:2]
    rest = u[:, 2 : 2 + 5 * points].reshape(len(u), 5, points)
    first = np.floor(rest[:, 0] * corners)
    a, b = (np.stack([np.cos(t), np.sin(t)], -1) for t in (turn + 2 * np.pi * k / corners for k in (first, first + 1)))
    end = np.where((rest[:, 1] < 0.5)[..., None], b, 0.0)  # an edge of the polygon, or a spoke to its middle
    along = rest[:, 2, :, None]
    return np.clip(0.5 + 0.4 * (a + along * (end - a)) + NOISE * _normals(rest[:, 3], rest[:, 4]), 0, 1)


def _diagonal(u: Uniforms, points: int) -> np.ndarray:
    rest = u[:, 1 : 1 + 3 * points].reshape(len(u), 3, points)
    line = np.stack([rest[:, 0], np.where(u[:, :1] < 0.5, rest[:, 0], 1 - rest[:, 0])], -1)
    return np.clip(line + NOISE * _normals(rest[:, 1], rest[:, 2]), 0, 1)


def _half(u: Uniforms, points: int, clusters: tuple[int, int], distance: float) -> np.ndarray:
    mixed = mixture(u[:, 1:], points, clusters, distance)
    return np.where((u[:, :1] < 0.5)[..., None], mixed, _uniform(u[:, 1:], points))


KINDS: dict[str, Callable[..., np.ndarray]] = {
    "uniform": _uniform, "gaussian_mixture": mixture, "links": _links, "half": _half, "polygon": _polygon, "diagonal": _diagonal,
}  # fmt: skip
MIXED = ("gaussian_mixture", "half")


def draw(
    kind: str, seed: int, stream: int, start: int, size: int, points: int, clusters: tuple[int, int], distance: float
) -> np.ndarray:
    """Levels ``start`` to ``start + size`` of a distribution: (size, points, 2) float32 in [0, 1], as drawn."""
    each = 2 + 2 * clusters[1] + 5 * points  # enough for the distribution that needs most
    u = uniforms(seed, stream, start, size, each)
    more = (clusters, distance) if kind in MIXED else ()
    return KINDS[kind](u, points, *more).astype(np.float32)


def ordered(levels: np.ndarray, order: str) -> np.ndarray:
    """(B, T, 2) with each level's points in the order that a config names."""
    return {"x": by_x, "clusters": by_clusters, "drawn": lambda x: x}[order](levels)


def by_clusters(levels: np.ndarray, together: float = TOGETHER) -> np.ndarray:
    """(B, T, 2): points that are connected by steps shorter than ``together`` stay together, as drawn; the leftmost group first."""
    near = np.square(levels[:, :, None] - levels[:, None]).sum(-1) < together**2
    label = components(near)
    leftmost = np.full(label.max() + 1, np.inf, levels.dtype)
    np.minimum.at(leftmost, label, levels[..., 0])
    return np.take_along_axis(levels, np.argsort(leftmost[label], 1, kind="stable")[..., None], 1)


def by_x(levels: np.ndarray) -> np.ndarray:
    """(B, T, 2) with each level's points sorted by their first coordinate."""
    return np.take_along_axis(levels, np.argsort(levels[..., :1], 1, kind="stable"), 1)

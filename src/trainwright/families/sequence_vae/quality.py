"""Levels that were made beside real ones, in numbers: as sequences, and in what they are like whatever their order."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainwright.data.levels import sokoban, tiles
from trainwright.measure.point_sets import cluster_count_distance, marginal_distance, nearness, order_violations
from trainwright.measure.two_sample import energy_ratio, nearest_neighbour_accuracy

View = Callable[[Tensor], Tensor]
MOST = 512
NODES = 20_000  # states that the search for a solution may look at
SOLVED = 100  # samples that it is tried on


def _ratios(whole: View, structure: View, levels: Tensor, real: Tensor, other: Tensor) -> dict[str, float]:
    ratio, shape = (energy_ratio(*(view(x) for x in (levels, real, other))) for view in (whole, structure))
    return {"two_sample_ratio": ratio, "structure_ratio": shape, "closeness": min(1.0, 1 / max(ratio, 1e-9))}


def _beside(data: Any, count: int) -> tuple[Tensor, Tensor]:
    real, other = data.some("train", min(count, MOST)), data.some("held_out", min(count, MOST))
    return real, other if len(other) > 1 else real[::2]


def point_signals(levels: Tensor, data: Any, prefix: str, thorough: bool = False) -> dict[str, float]:
    """Signals of (n, T, 2); empty if one is not finite."""
    if not bool(torch.isfinite(levels).all()):
        return {}
    in_order = order_violations(levels)
    levels, real, other = (_sorted(x) for x in (levels, *_beside(data, len(levels))))
    found = _ratios(lambda x: x.flatten(1), nearness, levels, real, other)
    found["marginal_distance"] = marginal_distance(levels, real)
    found["cluster_count_distance"] = cluster_count_distance(levels, real)
    if data.config.order == "x":
        found["order_violations"] = in_order
    if thorough:
        found["nearest_accuracy"] = nearest_neighbour_accuracy(levels.flatten(1), real[: len(levels)].flatten(1))
    return {f"{prefix}/{name}": number for name, number in found.items()}


def _sorted(points: Tensor) -> Tensor:
    """(n, T, 2) sorted by x, whatever order a recipe trains on, so that recipes can be held side by side."""
    return points.gather(1, points[..., :1].argsort(dim=1, stable=True).expand_as(points))


def tile_signals(levels: Tensor, data: Any, prefix: str, thorough: bool = False) -> dict[str, float]:
    """Signals of (n, H, W) symbol numbers; of Sokoban also what makes a level valid."""
    real, other = _beside(data, len(levels))
    count = len(data.symbols)
    found = _ratios(
        lambda x: F.one_hot(x, count).flatten(1).float(),
        lambda x: F.one_hot(x, count).sum((1, 2)).float(),
        levels,
        real,
        other,
    )
    boards, beside = levels.numpy().astype(np.uint8), real.numpy().astype(np.uint8)
    found["symbol_divergence"] = sokoban.ngram_divergence(boards, beside, count, n=1)
    found["pattern_divergence"] = sokoban.ngram_divergence(boards, beside, count, n=2)
    pad = tiles.OUTSIDE if data.config.sokoban else 0
    known = {data.table.digests[i] for i in data.table.train}
    found["copy_share"] = float(np.mean([tiles.digest(b, pad) in known for b in boards]))
    if data.config.sokoban:
        checks = sokoban.checks(boards)
        found |= {
            f"{name}_share": float(checks[name].mean()) for name in ("valid", "one_player", "boxes_match", "closed")
        }
        if thorough and checks["valid"].any():
            tried = boards[checks["valid"]][:SOLVED]
            found["solvable_share"] = float(np.mean([sokoban.solvable(b, NODES) is True for b in tried]))
    return {f"{prefix}/{name}": number for name, number in found.items()}

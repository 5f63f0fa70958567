"""Measures that compare generated levels with real ones: as sequences, and by properties that do not depend on order."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainwright.data.levels import sokoban, tiles
from trainwright.metrics.point_sets import cluster_count_distance, marginal_distance, nearness, order_violations
from trainwright.metrics.reference_split import halves
from trainwright.metrics.two_sample import energy_ratio, nearest_neighbour_accuracy

MAX_LEVELS = 512  # generated and real levels of a comparison
NODES = 20_000  # largest number of states of the search for a solution
SOLVED = 100  # samples that the search is run on


def level_signals(levels: Tensor, data: Any, thorough: bool = False) -> dict[str, float]:
    """Compute signals ``prior/...`` of (n, T, 2) points or (n, H, W) symbol numbers; empty if a point is not finite.

    Args:
        levels: on the CPU.
        data: the real levels that they are compared with.
        thorough: with the nearest-neighbour test, and for Sokoban the share that a bounded search solves.
    """
    if data.config.of_points and not bool(torch.isfinite(levels).all()):
        return {}
    ratio = two_sample_ratio(levels, data)
    found = {"two_sample_ratio": ratio, "closeness": min(1.0, 1 / max(ratio, 1e-9))}
    found |= (_points if data.config.of_points else _tiles)(levels, data, thorough)
    return {f"prior/{name}": number for name, number in found.items()}


def two_sample_ratio(levels: Tensor, data: Any) -> float:
    """Energy distance of levels from real ones over that of other real ones.

    It is over whole levels: points sorted by x, symbols one-hot.
    """
    return energy_ratio(*(_whole(x, data) for x in (levels, *_references(data, len(levels)))))


def _whole(levels: Tensor, data: Any) -> Tensor:
    return _sorted(levels).flatten(1) if data.config.of_points else _one_hot(levels, data).flatten(1).float()


def _one_hot(levels: Tensor, data: Any) -> Tensor:
    return F.one_hot(levels, len(data.symbols))


def _sorted(points: Tensor) -> Tensor:
    """Sort points (n, T, 2) by x, so that recipes with different orders can be compared."""
    return points.gather(1, points[..., :1].argsort(dim=1, stable=True).expand_as(points))


def _references(data: Any, count: int) -> tuple[Tensor, Tensor]:
    real, other = data.some("train", min(count, MAX_LEVELS)), data.some("held_out", min(count, MAX_LEVELS))
    return (real, other) if len(other) > 1 else halves(real)


def _points(levels: Tensor, data: Any, thorough: bool) -> dict[str, float]:
    real, other = _references(data, len(levels))
    found = {
        "structure_ratio": energy_ratio(*(nearness(x) for x in (levels, real, other))),
        "marginal_distance": marginal_distance(_sorted(levels), _sorted(real)),
        "cluster_count_distance": cluster_count_distance(levels, real),
    }
    if data.config.order == "x":
        found["order_violations"] = order_violations(levels)
    if thorough:
        found["nearest_accuracy"] = nearest_neighbour_accuracy(
            *(_whole(x, data) for x in (levels, real[: len(levels)]))
        )
    return found


def _tiles(levels: Tensor, data: Any, thorough: bool) -> dict[str, float]:
    real, other = _references(data, len(levels))
    boards, real_boards, count = levels.numpy().astype(np.uint8), real.numpy().astype(np.uint8), len(data.symbols)
    pad = tiles.OUTSIDE if data.config.sokoban else 0
    known = {data.table.digests[i] for i in data.table.train}
    found = {
        "structure_ratio": energy_ratio(*(_one_hot(x, data).sum((1, 2)).float() for x in (levels, real, other))),
        "symbol_divergence": sokoban.ngram_divergence(boards, real_boards, count, n=1),
        "pattern_divergence": sokoban.ngram_divergence(boards, real_boards, count, n=2),
        "copy_share": float(np.mean([tiles.digest(b, pad) in known for b in boards])),
    }
    if data.config.sokoban:
        checks = sokoban.checks(boards)
        found |= {f"{n}_share": float(checks[n].mean()) for n in ("valid", "one_player", "boxes_match", "closed")}
        if thorough and checks["valid"].any():
            tried = boards[checks["valid"]][:SOLVED]
            found["solvable_share"] = float(np.mean([sokoban.solvable(b, NODES) is True for b in tried]))
    return found

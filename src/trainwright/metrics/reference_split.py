"""Real data beside themselves: two disjoint parts, dealt by chance. What one scores beside the other is what a perfect model scores.

Neighbours of a data set are often of one folder, one series or one photograph, so a set that is cut in order has unlike parts: of 256
sprites, sorted by file name, one half covers .60 of the other; dealt by chance, .96.
"""

import torch
from torch import Tensor


def shuffled(rows: Tensor, count: int | None = None, seed: int = 0) -> Tensor:
    """``count`` of (n, ...) rows, all if it is None, drawn by chance without repetition."""
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:count]]


def parts(rows: Tensor, count: int, seed: int = 0, least: int = 1) -> tuple[Tensor, Tensor]:
    """Two disjoint parts of (n, ...) rows; the second is to the first as ``count`` samples are to all n rows, but neither has fewer
    than ``least`` rows if n allows it.

    Coverage, recall and density depend on that proportion and not on the size: equal distributions cover 1 - (1 + count/n)^-k of each
    other's k-th neighbourhoods, .97 with as many samples as real data and k = 5, .87 with half as many, .26 with a sixteenth.
    """
    second = round(len(rows) * count / (len(rows) + count))
    second = max(min(second, len(rows) - least), min(least, len(rows) // 2))
    mixed = shuffled(rows, seed=seed)
    return mixed[: len(rows) - second], mixed[len(rows) - second :]


def halves(rows: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two disjoint halves of (n, ...) rows."""
    return parts(rows, len(rows), seed)

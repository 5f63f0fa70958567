"""Real data compared with themselves: two disjoint random parts, whose score is that of a perfect model.

Neighbours in a data set often come from one folder, series or photograph, so a set that is split in order has unlike parts. Of 256
sprites, sorted by file name, one half covers 0.60 of the other; split at random, 0.96.
"""

import torch
from torch import Tensor


def shuffled(rows: Tensor, count: int | None = None, seed: int = 0) -> Tensor:
    """``count`` of (n, ...) rows, all if it is None, drawn at random without repetition."""
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:count]]


def parts(rows: Tensor, count: int, seed: int = 0, least: int = 1) -> tuple[Tensor, Tensor]:
    """Return two disjoint parts of (n, ...) rows in the proportion of n rows to ``count`` samples.

    Neither has fewer than ``least`` rows if n allows it.

    Coverage, recall and density depend on that proportion and not on the size: equal distributions cover 1 - (1 + count/n)^-k of each
    other's k-th neighbourhoods. With k = 5 that is 0.97 for equal numbers of samples and real data, 0.87 for half as many samples, and
    0.26 for a sixteenth.
    """
    second = round(len(rows) * count / (len(rows) + count))
    second = max(min(second, len(rows) - least), min(least, len(rows) // 2))
    mixed = shuffled(rows, seed=seed)
    return mixed[: len(rows) - second], mixed[len(rows) - second :]


def halves(rows: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two disjoint halves of (n, ...) rows."""
    return parts(rows, len(rows), seed)

"""Two random halves of real data: what one scores beside the other is what a perfect generator would score."""

import torch
from torch import Tensor


def halves(rows: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Rows (n, ...) dealt into two halves by chance; the second has one more if n is odd.

    By chance and not in order: neighbours are often of one folder, one series or one photograph, and the first half of a sorted set is
    unlike the second (of 256 sprites one then covers .60 of the other, dealt by chance .96).
    """
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    middle = len(rows) // 2
    return rows[order[:middle]], rows[order[middle:]]

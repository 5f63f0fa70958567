"""Context of each element of a level that is generated in order.

For a tile: the neighbours before it, and the count of each symbol so far. For a point: the point before it, and the points around
that one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

OFFSETS = ((0, -1), (0, -2), (-1, -1), (-1, 0), (-1, 1), (-2, 0))  # rows and columns of the neighbours
NEIGHBOURS = len(OFFSETS)
REACH = 2
MANY = 8.0


def board_context(boards: Tensor, symbols: int) -> tuple[Tensor, Tensor]:
    """Compute the context of every tile of finished maps.

    Args:
        boards: (B, H, W) symbol numbers.
        symbols: number of symbols; that number itself stands for positions outside of the map.

    Returns:
        (B, H, W, NEIGHBOURS) symbol numbers, and (B, H, W, symbols): counts of each symbol before the tile.
    """
    b, h, w = boards.shape
    padded = F.pad(boards, (REACH, REACH, REACH, 0), value=symbols)
    near = torch.stack([padded[:, REACH + r : REACH + r + h, REACH + c : REACH + c + w] for r, c in OFFSETS], -1)
    one_hot = F.one_hot(boards, symbols).flatten(1, 2)
    counts = one_hot.cumsum(1) - one_hot
    return near, counts.float().view(b, h, w, symbols)


def counted(counts: Tensor) -> Tensor:
    """Convert counts (..., S) to network inputs (..., 2 S): logarithms and scaled counts.

    The logarithm resolves small counts. The counts themselves resolve a difference of two.
    """
    return torch.cat([torch.log1p(counts), counts / MANY], -1)


POINT_WIDTH = 8
AROUND = 0.1  # radius around the point before; clusters of the mixture have a standard deviation of about 0.02
SCALE = 10.0


def point_context(points: Tensor, visible: Tensor, length: int) -> Tensor:
    """Compute the context of every point of the levels so far.

    Args:
        points: (B, T, 2) in the unit square; the last one is not used.
        visible: (B, T) in {0, 1}; 1 where a step sees the points before it.
        length: number of points of a whole level.

    Returns:
        (B, T, POINT_WIDTH): the mean of the earlier points around the point before (2), that point relative to it in tenths (2),
        the number of points around it, as logarithm and in tens (2), 1 where all that is visible (1), and the share of the level
        that is done (1). The first step sees zeros.
    """
    b, steps = points.shape[:2]
    visible = visible.to(points).clone()
    visible[:, 0] = 0
    last = torch.cat([torch.zeros_like(points[:, :1]), points[:, :-1]], 1)
    earlier = torch.ones(steps, steps, device=points.device).tril(-1).bool()
    near = (torch.cdist(last, points) < AROUND) & earlier
    number = near.sum(-1, keepdim=True).to(points)
    middle = (near.to(points) @ points) / number.clamp_min(1)
    seen = torch.cat([middle, (last - middle) * SCALE, torch.log1p(number), number / SCALE], -1) * visible[..., None]
    done = (torch.arange(steps, device=points.device) / length).expand(b, steps)
    return torch.cat([seen, visible[..., None], done[..., None]], -1)


class TileCanvas:
    """Batch of maps that are filled row by row, with the context of one tile at a time."""

    def __init__(self, batch: int, rows: int, columns: int, symbols: int, device: torch.device) -> None:
        self.padded = torch.full((batch, rows + REACH, columns + 2 * REACH), symbols, dtype=torch.long, device=device)
        self.counts = torch.zeros(batch, symbols, device=device)
        self.rows, self.columns = rows, columns

    def near(self, row: int, column: int) -> Tensor:
        """Return the symbol numbers of the neighbours of a tile: (B, NEIGHBOURS)."""
        return torch.stack([self.padded[:, REACH + row + r, REACH + column + c] for r, c in OFFSETS], -1)

    def put(self, row: int, column: int, symbol: Tensor) -> None:
        """Set one tile of every map to ``symbol`` (B,)."""
        self.padded[:, REACH + row, REACH + column] = symbol
        self.counts += F.one_hot(symbol, self.counts.shape[1])

    @property
    def boards(self) -> Tensor:
        """Symbol numbers of the maps: (B, H, W)."""
        return self.padded[:, REACH:, REACH : REACH + self.columns]

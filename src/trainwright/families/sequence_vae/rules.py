"""Rules of Sokoban for samples.

While a map is drawn, only tiles are allowed that keep its walls closed and its player single. Then the likeliest edits give it one
player and equal numbers of boxes and goals.
"""

import torch
from torch import Tensor

from trainwright.data.levels import tiles
from trainwright.families.sequence_vae.context import TileCanvas

FLOOR, BOX, GOAL = tiles.FLOOR, tiles.BOX, tiles.GOAL
PLAYERS = (tiles.PLAYER, tiles.PLAYER_ON_GOAL)
INSIDE = (FLOOR, BOX, GOAL, tiles.BOX_ON_GOAL, *PLAYERS)
MORE_BOXES = ((FLOOR, BOX), (GOAL, FLOOR))  # from, to: each raises the number of boxes minus goals by one
FEWER_BOXES = ((BOX, FLOOR), (FLOOR, GOAL))


class SokobanRules:
    """Symbols that are allowed next in a batch of maps.

    At the border, and next to the outside, only walls and outside are allowed.
    """

    def __init__(self, canvas: TileCanvas) -> None:
        self.canvas = canvas
        self.inside = torch.zeros(canvas.counts.shape[1] + 1, dtype=torch.bool, device=canvas.counts.device)
        self.inside[list(INSIDE)] = True

    def allowed(self, row: int, column: int) -> Tensor:
        """Mask (B, S) of the symbols that are allowed at a tile."""
        canvas = self.canvas
        near = canvas.near(row, column)
        left, above = near[:, 0], near[:, 3]
        next_to_outside = (left >= tiles.OUTSIDE) | (
            above >= tiles.OUTSIDE
        )  # positions beyond the map count as outside
        last = row == canvas.rows - 1 or column == canvas.columns - 1
        found = torch.ones_like(canvas.counts, dtype=torch.bool)
        found[:, list(INSIDE)] = ~(next_to_outside | last)[:, None]
        found[:, tiles.OUTSIDE] = ~(self.inside[left] | self.inside[above])
        found[:, list(PLAYERS)] &= (canvas.counts[:, list(PLAYERS)].sum(1) == 0)[:, None]
        return found


def repair(boards: Tensor, logits: Tensor) -> Tensor:
    """Edit maps to have one player and equal numbers of boxes and goals, at least one.

    The edits are those that lower the likelihood least.


    Args:
        boards: (B, H, W) symbol numbers with at most one player.
        logits: (B, H, W, S), the decoder's logits of each tile when it was drawn.
    """
    flat, scores = boards.flatten(1).clone(), torch.log_softmax(logits.float(), -1).flatten(1, 2)
    _add_player(flat, scores)
    for _ in range(flat.shape[1]):
        kinds = [(flat == s).sum(1) for s in range(tiles.OUTSIDE)]
        surplus = kinds[BOX] - kinds[GOAL] - kinds[tiles.PLAYER_ON_GOAL]
        empty = kinds[BOX] + kinds[tiles.BOX_ON_GOAL] == 0
        if not bool((surplus != 0).any() | empty.any()):
            break
        _edit(flat, scores, MORE_BOXES[:1], (surplus <= 0) & empty)
        _edit(flat, scores, MORE_BOXES, (surplus < 0) & ~empty)
        _edit(flat, scores, FEWER_BOXES, surplus > 0)
    return flat.view_as(boards)


def _add_player(flat: Tensor, scores: Tensor) -> None:
    missing = ~((flat == PLAYERS[0]) | (flat == PLAYERS[1])).any(1)
    _edit(flat, scores, ((FLOOR, PLAYERS[0]), (GOAL, PLAYERS[1])), missing)


def _edit(flat: Tensor, scores: Tensor, changes: tuple[tuple[int, int], ...], where: Tensor) -> None:
    """Make the likeliest of the changes in each map of ``where`` (B,) that has a tile for one."""
    gains = []
    for old, new in changes:
        gain = scores[..., new] - scores[..., old]
        gains.append(gain.masked_fill(flat != old, -torch.inf))
    best = torch.stack(gains, -1).flatten(1)
    value, index = best.max(1)
    done = where & torch.isfinite(value)
    place, kind = index // len(changes), index % len(changes)
    rows = torch.arange(len(flat), device=flat.device)[done]
    flat[rows, place[done]] = torch.tensor([new for _, new in changes], device=flat.device)[kind[done]]

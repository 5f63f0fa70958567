"""What Sokoban allows: tiles that keep walls closed and players single while a map is drawn, and then the likeliest edits that give it
one player and as many boxes as goals.
"""

import torch
from torch import Tensor

from trainwright.data.levels import tiles
from trainwright.families.sequence_vae.context import TileCanvas

FLOOR, BOX, GOAL = tiles.FLOOR, tiles.BOX, tiles.GOAL
PLAYERS = (tiles.PLAYER, tiles.PLAYER_ON_GOAL)
INSIDE = (FLOOR, BOX, GOAL, tiles.BOX_ON_GOAL, *PLAYERS)
MORE_BOXES = ((FLOOR, BOX), (GOAL, FLOOR))  # from, to: each makes boxes less goals larger by one
FEWER_BOXES = ((BOX, FLOOR), (FLOOR, GOAL))


class SokobanRules:
    """Which symbols a batch of maps may have next: at the border and beside the outside only walls and more of it."""

    def __init__(self, canvas: TileCanvas) -> None:
        self.canvas = canvas
        self.inside = torch.zeros(canvas.counts.shape[1] + 1, dtype=torch.bool, device=canvas.counts.device)
        self.inside[list(INSIDE)] = True

    def allowed(self, row: int, column: int) -> Tensor:
        """(B, S) bool."""
        canvas = self.canvas
        near = canvas.near(row, column)
        left, above = near[:, 0], near[:, 3]
        beside_outside = (left >= tiles.OUTSIDE) | (above >= tiles.OUTSIDE)  # what lies beyond the map is outside too
        last = row == canvas.rows - 1 or column == canvas.columns - 1
        found = torch.ones_like(canvas.counts, dtype=torch.bool)
        found[:, list(INSIDE)] = ~(beside_outside | last)[:, None]
        found[:, tiles.OUTSIDE] = ~(self.inside[left] | self.inside[above])
        found[:, list(PLAYERS)] &= (canvas.counts[:, list(PLAYERS)].sum(1) == 0)[:, None]
        return found


def mend(boards: Tensor, logits: Tensor) -> Tensor:
    """Maps with one player and as many boxes as goals, at least one, by the edits that cost the least likelihood.

    Args:
        boards: (B, H, W) symbol numbers with at most one player.
        logits: (B, H, W, S), what the decoder said of each tile when it was drawn.
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
    """Makes the likeliest of the changes in each map of ``where`` (B,) that has a tile for one."""
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

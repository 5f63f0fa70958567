"""Checks that a Sokoban board is playable, and the distance of two sets of boards in their tile patterns.

The checks take whole arrays of boards. The solver takes one board and is a best-first search over pushes.
"""

import heapq
from collections.abc import Iterator

import numpy as np

from trainwright.data.levels.tiles import BOX, BOX_ON_GOAL, GOAL, OUTSIDE, PLAYER, PLAYER_ON_GOAL, WALL, flood

BOXES = (BOX, BOX_ON_GOAL)
GOALS = (GOAL, BOX_ON_GOAL, PLAYER_ON_GOAL)
PLAYERS = (PLAYER, PLAYER_ON_GOAL)
# Weight of the distance to the goals against the pushes made. Measured on every sixth packaged level that fits 10 x 10,
# 2,000 positions: of 46 it solves 28 with weight 1, 30 with 2 and 34 with 5; 10 and 30 are no better than 5.
GREED = 5


def checks(boards: np.ndarray) -> dict[str, np.ndarray]:
    """Return which boards satisfy the rules of Sokoban.

    Args:
        boards: (N, H, W) numbers of symbols.

    Returns:
        (N,) bool for each of

        - ``one_player``: exactly one player;
        - ``boxes_match``: the numbers of boxes and goals are equal and not 0;
        - ``closed``: only walls are adjacent to ``OUTSIDE`` or the edge of the canvas (4-neighbourhood);
        - ``valid``: all of these;
        - ``reachable``: every box and goal lies where the player could walk if there were no boxes. It is not part of
          ``valid``, as authors also draw finished boxes behind walls.
    """
    boards = np.asarray(boards)
    player, box, goal = (np.isin(boards, kinds) for kinds in (PLAYERS, BOXES, GOALS))
    inside = (boards != WALL) & (boards != OUTSIDE)
    boxes = box.sum((1, 2))
    result = {
        "one_player": player.sum((1, 2)) == 1,
        "boxes_match": (boxes == goal.sum((1, 2))) & (boxes > 0),
        "closed": _closed(boards, inside),
    }
    result["valid"] = np.logical_and.reduce(list(result.values()))
    walkable = flood(player, inside)
    result["reachable"] = player.any((1, 2)) & ~((box | goal) & ~walkable).any((1, 2))
    return result


def _closed(boards: np.ndarray, inside: np.ndarray) -> np.ndarray:
    outside = np.pad(boards == OUTSIDE, ((0, 0), (1, 1), (1, 1)), constant_values=True)
    beside = outside[:, 2:, 1:-1] | outside[:, :-2, 1:-1] | outside[:, 1:-1, 2:] | outside[:, 1:-1, :-2]
    return ~(beside & inside).any((1, 2))


def ngram_divergence(a: np.ndarray, b: np.ndarray, count: int, n: int = 2) -> float:
    """Jensen-Shannon divergence in nats between the n x n tile patterns of two sets of boards.

    After Lucas and Volz 2019 (Tile Pattern KL-Divergence for Analysing and Evolving Game Levels, arXiv:1905.05077).
    Theirs is the Kullback-Leibler divergence, which needs a constant for patterns that only one side has; this one is
    symmetric and bounded. It grows as a set shrinks, so compare sets of equal size.

    Args:
        a: (N, H, W) numbers of symbols below ``count``.
        b: (M, H', W') likewise.
        count: symbols in the alphabet.
        n: side of a pattern.

    Returns:
        0 for equal distributions up to ln 2 for distributions that share no pattern.
    """
    patterns = [_pattern_codes(np.asarray(boards), count, n) for boards in (a, b)]
    _, code = np.unique(np.concatenate(patterns), return_inverse=True)
    sides = np.split(code, [len(patterns[0])])
    p, q = (np.bincount(side, minlength=code.max() + 1) / len(side) for side in sides)
    middle = (p + q) / 2
    return float(max(0.0, (_kl(p, middle) + _kl(q, middle)) / 2))


def _pattern_codes(boards: np.ndarray, count: int, n: int) -> np.ndarray:
    """(windows,) int64: each n x n window as one number in base ``count``."""
    if n < 1 or count ** (n * n) > 2**63 or min(boards.shape[1:]) < n or not len(boards):
        raise ValueError(f"no {n} x {n} patterns of {count} symbols in boards of shape {boards.shape}")
    windows = np.lib.stride_tricks.sliding_window_view(boards, (n, n), axis=(1, 2))
    return (windows.reshape(-1, n * n) @ (count ** np.arange(n * n, dtype=np.int64))).astype(np.int64)


def _kl(p: np.ndarray, q: np.ndarray) -> float:
    here = p > 0
    return float((p[here] * np.log(p[here] / q[here])).sum())


def solvable(board: np.ndarray, nodes: int = 200_000) -> bool | None:
    """Return True if the player can push every box onto a goal.

    A best-first search over (boxes, region the player can walk to), one push a step. It discards boxes on squares from
    which no goal can be reached, found by pulling from the goals, and boxes that are stuck in a 2 x 2 block of boxes and
    walls. The order of search is pushes so far + ``GREED`` * distance to the nearest goals, so a solution need not be a
    short one. ``False`` is a proof, since no discarded position can be solved.

    ``OUTSIDE`` is a wall to the player, and boxes and goals beyond the walls count only as finished or not. A board
    whose boxes are all on goals at the start is solved: True. One without exactly one player, without boxes, or
    with unequal numbers of boxes and goals is False.

    Args:
        board: (H, W) numbers of symbols.
        nodes: largest number of positions to expand.

    Returns:
        True or False, or None if ``nodes`` positions gave no answer.
    """
    board = np.asarray(board)
    met = checks(board[None])
    if not (met["one_player"][0] and met["boxes_match"][0]):
        return False
    room = flood(np.isin(board, PLAYERS), (board != WALL) & (board != OUTSIDE))
    boxes, goals = np.isin(board, BOXES), np.isin(board, GOALS)
    if ((boxes != goals) & ~room).any():  # a box or goal that cannot be reached
        return False
    search = _Search(room, goals & room)
    return search.run(search.bits(boxes & room), search.bits(np.isin(board, PLAYERS)), nodes)


class _Search:
    """A room as bits of one integer, row by row with a border of one cell.

    A step is a shift, and a set of cells is a number.
    """

    def __init__(self, room: np.ndarray, goals: np.ndarray) -> None:
        self.stride = room.shape[1] + 2
        self.steps = (1, -1, self.stride, -self.stride)
        self.room, self.goals = self.bits(room), self.bits(goals)
        self.distance = self._distances()
        self.alive = sum(self.distance)
        self.blocks = {square: self._blocks(square) for square in _each(self.room)}

    def bits(self, cells: np.ndarray) -> int:
        """(H, W) bool as one number, a bit a cell, with a border of zeros."""
        packed = np.packbits(np.pad(cells, 1), bitorder="little")
        return int.from_bytes(packed.tobytes(), "little")

    def run(self, boxes: int, player: int, nodes: int) -> bool | None:
        """Return True if every box reaches a goal from there, and None if ``nodes`` states did not decide it."""
        if boxes & ~self.alive:
            return False
        estimate = sum(self.distance[box] for box in _each(boxes))
        waiting = [(GREED * estimate, 0, boxes, player, estimate)]
        seen: set[tuple[int, int]] = set()
        while waiting:
            _, pushes, boxes, player, estimate = heapq.heappop(waiting)
            if boxes == self.goals:
                return True
            region = self._walk(player, self.room & ~boxes)
            state = (boxes, region & -region)
            if state in seen:
                continue
            if len(seen) >= nodes:
                return None
            seen.add(state)
            for box, target in self._pushes(boxes, region):
                ahead = estimate - self.distance[box] + self.distance[target]
                entry = (pushes + 1 + GREED * ahead, pushes + 1, boxes ^ box ^ target, box, ahead)
                heapq.heappush(waiting, entry)
        return False

    def _pushes(self, boxes: int, region: int) -> Iterator[tuple[int, int]]:
        """(box, square it is pushed to) for each push that does not lose at once."""
        free = self.alive & ~boxes
        for step in self.steps:
            for box in _each(boxes & _shift(region, step) & _shift(free, -step)):
                target = _shift(box, step)
                if not self._stuck(target, boxes ^ box ^ target):
                    yield box, target

    def _stuck(self, square: int, boxes: int) -> bool:
        """Return True if the box on ``square`` is in a full 2 x 2 block with a box that is not on a goal."""
        full, off_goal = boxes | ~self.room, boxes & ~self.goals
        return any(block & ~full == 0 and block & off_goal for block in self.blocks[square])

    def _blocks(self, square: int) -> list[int]:
        block = square | square << 1 | square << self.stride | square << self.stride + 1
        return [block, block >> 1, block >> self.stride, block >> self.stride + 1]

    def _walk(self, start: int, free: int) -> int:
        region, stride = start, self.stride
        while True:
            grown = (region | region << 1 | region >> 1 | region << stride | region >> stride) & free
            if grown == region:
                return region
            region = grown

    def _distances(self) -> dict[int, int]:
        """Pushes from each square to the nearest goal with no other box around; squares without are not in it."""
        distance: dict[int, int] = {}
        frontier, done, pushes = self.goals, 0, 0
        while frontier:
            distance |= dict.fromkeys(_each(frontier), pushes)
            done |= frontier
            pulled = 0
            for step in self.steps:  # the box comes from `step` before, the player stood one further
                pulled |= _shift(frontier, -step) & self.room & _shift(self.room, step)
            frontier, pushes = pulled & ~done, pushes + 1
        return distance


def _shift(cells: int, step: int) -> int:
    return cells << step if step > 0 else cells >> -step


def _each(cells: int) -> Iterator[int]:
    while cells:
        lowest = cells & -cells
        yield lowest
        cells ^= lowest

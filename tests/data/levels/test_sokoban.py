"""Rules of the game one by one, the solver against a plain search, and tile statistics with known values."""

import math

import numpy as np
import pytest

from trainwright.data.levels.sokoban import checks, ngram_divergence, solvable
from trainwright.data.levels.tiles import ALPHABET, place, read

STEPS = ((0, 1), (0, -1), (1, 0), (-1, 0))


def board(text):
    """(H, W) of rows in which ``_`` is outside."""
    rows = text.strip("\n").split("\n")
    return np.array([[ALPHABET.index(symbol) for symbol in row] for row in rows], np.uint8)


def failed(text):
    return {name for name, met in checks(board(text)[None]).items() if not met[0]}


@pytest.mark.parametrize(
    "text, names",
    [
        ("#####\n#@$.#\n#####", set()),
        ("#####_\n#+*$#_\n#####_", set()),
        ("######\n#@$.@#\n######", {"one_player", "valid"}),
        ("######\n#@$.+#\n#  $ #\n######", {"one_player", "valid"}),
        ("#####\n# $.#\n#####", {"one_player", "valid", "reachable"}),
        ("#####\n#@$ #\n#####", {"boxes_match", "valid"}),
        ("#####\n#@  #\n#####", {"boxes_match", "valid"}),
        ("#####\n#@*.#\n#####", {"boxes_match", "valid"}),
        ("##_##\n#@$.#\n#####", {"closed", "valid"}),
        ("#####\n#@$. \n#####", {"closed", "valid"}),
        ("#####\n#@$.#\n## ##", {"closed", "valid"}),
        ("_###_\n#@$.#\n#####", set()),  # a gap at a corner is no opening
        ("_####\n_#+$#\n_####", set()),
        ("########\n#@$.#*##\n########", {"reachable"}),
        ("#####\n#@$##\n###.#\n#####", {"reachable"}),
    ],
)
def test_a_board_fails_exactly_the_rules_it_breaks(text, names):
    assert failed(text) == names


def test_checks_look_at_each_board_by_itself():
    boards = [board("#####\n#@$.#\n#####"), board("#####\n#@@.#\n#####"), board("#####\n#@$.#\n##_##")]
    result = checks(np.stack(boards))
    assert result["valid"].tolist() == [True, False, False]
    assert result["one_player"].tolist() == [True, False, True]
    assert {values.shape for values in result.values()} == {(3,)}


def test_small_packaged_levels_are_solvable():
    small = [board for level in read("sokoban") if (board := place(level, 7, 7)) is not None]
    assert len(small) == 28
    assert [solvable(board, nodes=20_000) for board in small] == [True] * 28


@pytest.mark.parametrize(
    "text, answer",
    [
        ("#####\n#@$.#\n#####", True),
        ("#####\n#@* #\n#####", True),  # finished at the start
        ("########\n#@$.#*##\n########", True),  # with a finished box that nobody can get to
        ("######\n#@$.##\n####*#\n######", True),
        ("#####\n#$@.#\n#####", False),  # in a corner
        ("######\n#   .#\n# @  #\n# $  #\n######", False),  # along a wall without a goal
        ("########\n#      #\n#  $$  #\n#  $$. #\n# @ ...#\n########", False),  # a block of four
        ("######\n#@ $##\n# $  #\n# .. #\n######", False),  # one of two in a corner
        ("#####\n#@$##\n###.#\n#####", False),  # a goal that nobody can get to
        ("#####\n# $.#\n#####", False),  # no player
        ("#####\n#@  #\n#####", False),  # no box
    ],
)
def test_solvable_or_not(text, answer):
    assert solvable(board(text)) is answer


def test_no_answer_within_the_positions_is_none():
    text = "#######\n#     #\n# @$ .#\n#     #\n#######"
    assert solvable(board(text), nodes=1) is None
    assert solvable(board(text), nodes=100) is True


def test_a_board_is_as_solvable_as_its_mirror_image_and_on_a_larger_canvas():
    first = board("######\n#@   #\n# $  #\n# #$ #\n#. . #\n######")
    forms = [first, np.fliplr(first), np.rot90(first), np.pad(first, 3, constant_values=7)]
    assert [solvable(form) for form in forms] == [True] * 4


def plain_search(cells):
    """Every position of (player, boxes) by single steps, without any shortcut."""
    where = {kind: {(y, x) for y, x in np.argwhere(np.isin(cells, kinds)).tolist()} for kind, kinds in KINDS.items()}
    start = (next(iter(where["player"])), frozenset(where["box"]))
    seen, waiting = {start}, [start]
    while waiting:
        (y, x), boxes = waiting.pop()
        if boxes == where["goal"]:
            return True
        for dy, dx in STEPS:
            to, beyond, after = (y + dy, x + dx), (y + 2 * dy, x + 2 * dx), boxes
            if to in boxes:
                if beyond in boxes or beyond in where["wall"]:
                    continue
                after = boxes - {to} | {beyond}
            if to not in where["wall"] and (to, after) not in seen:
                seen.add((to, after))
                waiting.append((to, after))
    return False


KINDS = {"wall": [0], "box": [2, 4], "goal": [3, 4, 6], "player": [5, 6]}


def random_board(rng):
    """Walls, a player, boxes and goals (some in one place) anywhere in 4 x 5."""
    inner = np.where(rng.random(20) < 0.2, 0, 1)
    count = rng.integers(1, 4)
    player, *boxes = rng.choice(20, 1 + count, replace=False)
    goals = rng.choice(20, count, replace=False)
    inner[boxes] = 2
    inner[player] = 5
    inner[goals] = [{2: 4, 5: 6}.get(kind, 3) for kind in inner[goals]]
    return np.pad(inner.reshape(4, 5), 1)


def test_the_solver_agrees_with_a_plain_search_on_random_rooms():
    rng = np.random.default_rng(0)
    boards = [random_board(rng) for _ in range(300)]
    answers = [plain_search(cells) for cells in boards]
    assert [solvable(cells) for cells in boards] == answers
    assert 30 < sum(answers) < 270


def test_divergence_is_0_for_equal_sets_ln_2_for_sets_without_a_common_pattern_and_symmetric():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, (2, 20, 6, 7), dtype=np.uint8)
    assert ngram_divergence(a, a[::-1], 8) == 0
    assert ngram_divergence(a, a + 4, 8) == pytest.approx(math.log(2))
    assert 0 < ngram_divergence(a, b, 8) < math.log(2)
    assert ngram_divergence(a, b, 8) == pytest.approx(ngram_divergence(b, a, 8))


def test_divergence_of_single_tiles_by_hand():
    a, b = np.array([[[0, 0, 0, 1]]]), np.array([[[0, 1, 1, 1]]])
    by_hand = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert ngram_divergence(a, b, 2, n=1) == pytest.approx(by_hand)


def test_divergence_sees_order_that_single_tiles_do_not():
    stripes, blocks = np.array([[[0, 1] * 4] * 8]), np.array([[[0] * 4 + [1] * 4] * 8])
    assert ngram_divergence(stripes, blocks, 2, n=1) == 0
    assert ngram_divergence(stripes, blocks, 2, n=2) > 0.2


@pytest.mark.parametrize("n, count", [(0, 8), (5, 8), (4, 256)])
def test_patterns_that_do_not_exist_or_cannot_be_numbered_are_refused(n, count):
    with pytest.raises(ValueError, match="patterns"):
        ngram_divergence(np.zeros((2, 4, 4), int), np.zeros((2, 4, 4), int), count, n=n)

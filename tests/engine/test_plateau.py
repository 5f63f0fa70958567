"""Plateau counts by hand-worked series, and that what is stored comes back."""

import math

import pytest

from trainwright.engine.callbacks.plateau import Plateau
from trainwright.engine.config import PlateauSettings


def settings(**changes):
    return PlateauSettings(**{"reduce_lr_patience": 2, "early_stopping_patience": 4, "min_delta": 0.1, **changes})


def test_counts_follow_the_series():
    plateau, seen = Plateau(), []
    for epoch, value in enumerate([5.0, 4.0, 3.95, 4.2, 3.5, 3.6, 3.7, 3.8, 3.9]):
        better, lowered = plateau.observe(value, epoch, settings())
        seen.append((better, lowered, plateau.stopped(settings())))
    assert [s[0] for s in seen] == [True, True, False, False, True, False, False, False, False]
    assert [s[1] for s in seen] == [False, False, False, True, False, False, True, False, True]
    assert [s[2] for s in seen] == [False] * 8 + [True]
    assert (plateau.best, plateau.best_step, plateau.scale) == (3.5, 4, 0.125)


def test_off_unless_a_patience_is_given():
    assert not PlateauSettings().on
    plateau = Plateau()
    for epoch in range(50):
        plateau.observe(1.0, epoch, PlateauSettings())
    assert plateau.scale == 1.0 and not plateau.stopped(PlateauSettings())


@pytest.mark.parametrize("looks", [0, 3])
def test_what_is_stored_comes_back(looks):
    plateau = Plateau()
    for epoch in range(looks):
        plateau.observe(1.0 + epoch, epoch, settings())
    again = Plateau.restore(plateau.state())
    assert again == plateau
    assert Plateau.restore(None).best == math.inf

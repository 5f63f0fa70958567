"""Schedules against values known by hand."""

import math

import pytest
from pydantic import TypeAdapter

from trainwright.config.schedules import Schedule, value

READ = TypeAdapter(Schedule).validate_python


@pytest.mark.parametrize(("schedule", "points"), [
    (0.5, {0: 0.5, 100: 0.5}),
    ({"kind": "linear", "start": 0.0, "end": 2.0, "over": 10.0}, {0: 0, 5: 1, 10: 2, 99: 2}),
    ({"kind": "cosine", "start": 1.0, "end": 0.0, "over": 100.0}, {0: 1, 50: 0.5, 100: 0, 500: 0}),
    ({"kind": "cosine", "start": 1.0, "over": 110.0, "warmup": 10.0}, {0: 0, 5: 0.5, 10: 1, 60: 0.5, 110: 0}),
    ({"kind": "cyclical", "end": 1.0, "period": 10.0, "ratio": 0.5}, {0: 0, 2.5: 0.5, 5: 1, 9: 1, 10: 0, 15: 1}),
    ({"kind": "cyclical", "end": 1.0, "period": 10.0, "cycles": 2}, {12: 0.4, 20: 1, 21: 1}),
    ({"kind": "piecewise", "points": [[0, 1], [10, 3], [20, 0]]}, {-1: 1, 5: 2, 10: 3, 15: 1.5, 30: 0}),
])  # fmt: skip
def test_known_values(schedule, points):
    read = READ(schedule)
    for step, expected in points.items():
        assert value(read, step, epoch=1e9) == pytest.approx(expected), step


def test_the_sequence_guides_tanh_stays_below_5_percent_for_200_epochs():
    read = READ({"kind": "tanh"})
    assert value(read, 0, 0) == pytest.approx(0.5 * (math.tanh(-2.5) + 1))
    assert value(read, 0, 199) < 0.05
    assert value(read, 0, 500) == pytest.approx(0.5)

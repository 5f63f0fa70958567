"""Intervals of differences equal those of scipy.stats, and few or equal values have none or an empty one."""

import math

import numpy as np
import pytest
from scipy import stats

from trainwright.studies.effect import effect


def values(seeds, shift=0.0, size=1.0):
    rng = np.random.default_rng(len(seeds))
    return {seed: shift + size * float(rng.normal()) for seed in seeds}


@pytest.mark.parametrize("count", [2, 3, 16, 40])
def test_common_seeds_give_the_paired_interval(count):
    a, b = values(range(count), 2.0), values(range(count), size=0.3)
    found = effect(a, b)
    low, high = stats.ttest_rel(list(a.values()), list(b.values())).confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6)
    assert found.n == count


@pytest.mark.parametrize("counts", [(3, 3), (4, 20), (30, 2)])
def test_other_seeds_give_welchs_interval(counts):
    a, b = values(range(counts[0]), 2.0), values(range(100, 100 + counts[1]), size=0.3)
    found = effect(a, b)
    low, high = stats.ttest_ind(list(a.values()), list(b.values()), equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6)
    assert found.n == min(counts)


def test_equal_differences_have_an_interval_without_width_and_one_seed_has_none():
    same = effect({0: 2.0, 1: 3.0}, {0: 1.0, 1: 2.0})
    assert (same.mean, same.low, same.high, same.clear) == (1.0, 1.0, 1.0, True)
    single = effect({0: 2.0}, {0: 1.0})
    assert single.mean == 1.0 and math.isnan(single.low) and not single.clear
    assert effect({}, {0: 1.0}) is None

"""Two sets of one distribution are near 1 and .5; a shifted, shrunk or averaged one is not."""

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from trainwright.metrics.point_sets import (
    cluster_count_distance,
    clusters,
    marginal_distance,
    nearness,
    order_violations,
)
from trainwright.metrics.two_sample import energy, energy_ratio, nearest_neighbour_accuracy


def draws(n, seed, scale=1.0, shift=0.0):
    return torch.randn(n, 20, generator=torch.Generator().manual_seed(seed)) * scale + shift


def test_real_beside_real_is_one_and_anything_else_is_more():
    real, other = draws(400, 0), draws(400, 1)
    for seed in range(2, 6):
        assert 0.8 < energy_ratio(draws(400, seed), real, other) < 1.25
    assert energy_ratio(draws(400, 2, shift=0.2), real, other) > 1.5
    assert energy_ratio(draws(400, 2, scale=0.8), real, other) > 1.5
    assert energy(real, real) == 0


def test_nearest_neighbours_tell_two_distributions_apart():
    assert 0.44 < nearest_neighbour_accuracy(draws(400, 0), draws(400, 1)) < 0.56
    assert nearest_neighbour_accuracy(draws(400, 0), draws(400, 1, shift=2.0)) > 0.95


def test_clusters_are_counted_as_connected_groups():
    around = torch.tensor([[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]])
    level = around.repeat_interleave(5, 0) + 0.01 * torch.randn(15, 2, generator=torch.Generator().manual_seed(0))
    chain = torch.stack([torch.linspace(0, 1, 15), torch.zeros(15)], -1)
    assert clusters(torch.stack([level, chain])).tolist() == [3, 1]
    assert cluster_count_distance(level[None], level[None]) == 0
    assert cluster_count_distance(level[None], chain[None]) == 1


def test_marginals_are_as_far_apart_as_scipy_finds_them():
    rng = np.random.default_rng(0)
    a, b = rng.random((40, 6, 2)), rng.random((30, 6, 2)) ** 2
    expected = ks_2samp(a.reshape(40, -1), b.reshape(30, -1), axis=0).statistic.mean()
    assert marginal_distance(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(expected, abs=1e-6)


def test_order_and_nearness_do_what_they_say():
    level = torch.rand(1, 30, 2, generator=torch.Generator().manual_seed(0))
    ordered = level[:, level[0, :, 0].argsort()]
    assert order_violations(ordered) == 0 < order_violations(level)
    torch.testing.assert_close(nearness(ordered), nearness(level))
    assert marginal_distance(ordered, ordered) == 0

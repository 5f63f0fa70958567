"""Latent measures on posteriors whose answers are known."""

import math

import pytest
import torch

from trainwright.metrics.latent import active_units, kl_per_dimension, latent_signals, mutual_information
from trainwright.metrics.r2 import r2


def test_kl_is_the_closed_form():
    own = torch.distributions.Normal(torch.tensor([0.0, 1.0, -2.0]), torch.tensor([1.0, 0.5, 3.0]))
    wanted = torch.distributions.kl_divergence(own, torch.distributions.Normal(0.0, 1.0))
    assert torch.allclose(kl_per_dimension(own.mean, 2 * own.stddev.log()), wanted)


def test_active_units_are_dimensions_that_vary():
    mean = torch.zeros(500, 4)
    mean[:, 1] = torch.randn(500, generator=torch.Generator().manual_seed(0))
    mean[:, 2] = 0.05 * mean[:, 1]
    assert active_units(mean) == 1


def test_mutual_information_is_nothing_for_the_prior_and_the_ceiling_for_points_far_apart():
    zeros = torch.zeros(64, 5)
    z = torch.randn(64, 5, generator=torch.Generator().manual_seed(0))
    assert mutual_information(zeros, zeros, z) == pytest.approx(0, abs=1e-5)
    apart = 100 * torch.arange(64.0)[:, None].expand(64, 5)
    assert mutual_information(apart, zeros - 6, apart) == pytest.approx(math.log(64), abs=1e-4)


def test_the_histogram_counts_every_dimension_once():
    torch.manual_seed(0)
    mean = torch.randn(100, 32) * torch.logspace(-3, 1, 32)
    found = latent_signals(mean, torch.zeros(100, 32), mean)
    shares = [value for name, value in found.items() if name.startswith("kl_histogram/")]
    assert len(shares) == 5 and sum(shares) == pytest.approx(1)


def test_a_constant_output_explains_nothing_beyond_each_places_mean():
    torch.manual_seed(0)
    base = 5 * torch.randn(3, 10)
    target = base + torch.randn(200, 3, 10)
    groups = {"a": slice(0, 2), "b": slice(2, 3)}
    found = r2(target, base.expand_as(target), groups, target.mean(0))
    assert found["r2/a"] > 0.8
    assert abs(found["r2_beyond_mean/a"]) < 0.02
    assert found["std_ratio/b"] < 1e-5
    perfect = r2(target, target, groups, target.mean(0))
    assert perfect["r2_beyond_mean/b"] == 1 and perfect["std_ratio/a"] == pytest.approx(1, abs=0.01)

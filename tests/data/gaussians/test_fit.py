"""Fits of real images and of images that Gaussians made."""

import math

import pytest
import torch

from trainwright.data.cache import load
from trainwright.data.config import Images
from trainwright.data.gaussians.config import Fit
from trainwright.data.gaussians.fit import fit, lattice
from trainwright.data.gaussians.render import Canvas, render
from trainwright.metrics.image_quality import psnr


@pytest.fixture(scope="module")
def photos():
    pixels = load(Images(source="photos", size=32)).pixels[[40, 700, 900]]
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("settings", [
    {},
    {"progressive": False},
    {"blend": "sum"},
    {"variables": "log_covariance"},
    {"layout": "slots", "variables": "log_covariance"},
    {"layout": "slots", "variables": "inverse_scale"},
    {"loss": "l1_ssim"},
], ids=str)  # fmt: skip
def test_real_photographs_are_fitted_better_than_by_their_mean_colour(photos, settings):
    found = fit(photos, Fit(count=96, max_steps=120, **settings))
    flat = psnr(photos.mean((2, 3), keepdim=True), photos, 1.0, (1, 2, 3))
    for one, before in zip(found, flat, strict=True):
        assert one.set.shape == (96, 8)
        assert one.psnr > before + 8, settings
        assert 0.5 < one.ssim <= 1
        assert one.steps <= 120


def test_the_quality_is_that_of_the_exact_rendering(photos):
    one = fit(photos[:1], Fit(count=64, max_steps=60))[0]
    shown = render(one.set[None], Canvas(32, 32), "normalised", 10).clamp(0, 1)
    assert float(psnr(shown, photos[:1], 1.0)) == pytest.approx(one.psnr, abs=1e-3)


def test_it_repeats_and_does_not_depend_on_its_neighbours(photos):
    alone = fit(photos[1:2], Fit(count=64, max_steps=50), ["b"])[0]
    again = fit(photos[1:2], Fit(count=64, max_steps=50), ["b"])[0]
    among = fit(photos, Fit(count=64, max_steps=50), ["a", "b", "c"])[1]
    assert torch.equal(alone.set, again.set)
    assert among.psnr == pytest.approx(alone.psnr, abs=0.5)


def test_four_channels_and_sizes_that_are_no_multiple_of_a_tile(photos):
    alpha = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0)).round()
    four = torch.cat([photos, alpha], 1)[:, :, :20, :28]
    found = fit(four, Fit(count=64, max_steps=60))
    assert all(one.set.shape == (64, 9) and math.isfinite(one.psnr) for one in found)


def test_an_easy_picture_stops_early(photos):
    flat = torch.full((1, 3, 32, 32), 0.5)
    easy, hard = fit(torch.cat([flat, photos[2:3]]), Fit(count=64, max_steps=300, progressive=False))
    assert easy.steps < hard.steps <= 300
    assert easy.psnr > 35


def test_slots_stay_where_they_are(photos):
    settings = Fit(count=128, max_steps=100, layout="slots", variables="log_covariance")
    places = lattice(128, Canvas(32, 32))
    for one in fit(photos, settings):
        moved = (one.set[:, :2] * 32 - places).norm(dim=-1)
        assert moved.median() < 0.7
        assert moved.max() < 3


@pytest.mark.parametrize("count", [4, 7, 100, 128, 512])
def test_lattices_have_the_count_and_cover_the_picture(count):
    places = lattice(count, Canvas(64, 64))
    assert places.shape == (count, 2)
    assert places.min() > 0 and places.max() < 64
    nearest = (torch.cdist(places, places) + 1e6 * torch.eye(count)).amin(1)
    assert nearest.min() > 0.5 * math.sqrt(64 * 64 / count)


def test_a_wide_white_ground_is_covered():
    """Places are drawn by gradient; where there is none, Gaussians begin wide enough to leave no hole."""
    image = torch.ones(1, 3, 64, 64)
    image[:, :, 28:36, 28:36] = 0.0
    assert fit(image, Fit(count=128, max_steps=150))[0].psnr > 30

"""PSNR follows its definition, over the dimensions that are asked for, and equal images have a finite one."""

import pytest
import torch

from trainwright.metrics.image_quality import psnr, ssim


def images(count, size=12):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(count), dtype=torch.float64)


@pytest.mark.parametrize("peak", [1.0, 2.0])
def test_psnr_is_the_peak_over_the_mean_squared_error_in_decibels(peak):
    a, b = images(4) * peak, images(5)[:4] * peak
    errors = (a - b).square()
    expected = 10 * torch.log10(peak**2 / errors.mean((1, 2, 3)))
    torch.testing.assert_close(psnr(a, b, peak, (1, 2, 3)), expected, rtol=1e-6, atol=0)
    assert float(psnr(a, b, peak)) == pytest.approx(float(10 * torch.log10(peak**2 / errors.mean())), rel=1e-6)
    assert float(psnr(a.float(), b.float(), peak)) == pytest.approx(float(psnr(a, b, peak)), rel=1e-6)


def test_every_sample_is_compared_with_every_image():
    samples, real = images(4), images(3)
    found = psnr(samples[:, None], real, 1.0, (2, 3, 4))
    assert found.shape == (4, 3)
    assert float(found[2, 1]) == pytest.approx(float(psnr(samples[2], real[1], 1.0)), rel=1e-6)


def test_equal_images_have_the_most_and_a_similarity_of_1():
    a = images(2)
    assert psnr(a, a, 1.0, (1, 2, 3)).tolist() == [99.0, 99.0]
    assert float(psnr(a, a, 1.0, most=126.0)) == 126.0
    assert ssim(a, a, 1.0).tolist() == pytest.approx([1.0, 1.0])

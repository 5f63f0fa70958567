"""Metrics on distributions whose answers are known, and on real sprites made worse step by step."""

import pytest
import torch

from trainwright.data.config import ImageData
from trainwright.data.images import Images, to_bytes
from trainwright.metrics.evaluate import evaluate_images
from trainwright.metrics.kid import kernel_distance, kid
from trainwright.metrics.neighbours import manifold_metrics, memorisation


@pytest.fixture(scope="module")
def halves():
    data = Images.open(ImageData(source="sprites", size=32))
    images = torch.from_numpy(to_bytes(data.some("train", 240))).permute(0, 3, 1, 2)
    return images[::2], images[1::2]


def test_equal_distributions_reach_naeems_value():
    torch.manual_seed(0)
    real, fake = torch.randn(1000, 16).double(), torch.randn(1000, 16).double()
    metrics = manifold_metrics(real, fake)
    assert metrics["density"] == pytest.approx(1.0, abs=0.1)
    assert metrics["coverage"] == pytest.approx(0.97, abs=0.03)


def test_collapse_loses_coverage_and_recall_but_not_precision():
    torch.manual_seed(0)
    real = torch.randn(500, 8).double()
    fake = real[:3].repeat(100, 1) + 1e-3 * torch.randn(300, 8).double()
    metrics = manifold_metrics(real, fake)
    assert metrics["precision"] > 0.95
    assert metrics["coverage"] < 0.2
    assert metrics["recall"] < 0.1


def test_copies_of_training_data_are_noticed():
    torch.manual_seed(0)
    train, held = torch.randn(300, 8).double(), torch.randn(50, 8).double()
    assert memorisation(train[:40] + 1e-4, train, held)["nearest_training_ratio"] < 0.01
    assert memorisation(torch.randn(40, 8).double(), train, held)["nearest_training_ratio"] == pytest.approx(
        1, abs=0.25
    )


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="more than 5"):
        manifold_metrics(torch.randn(5, 2), torch.randn(50, 2))


def test_kid_is_near_zero_for_equal_and_repeats_by_seed():
    torch.manual_seed(0)
    real, fake = torch.randn(300, 8), torch.randn(300, 8)
    mean, spread = kid(real, fake, subsets=20, subset_size=100)
    assert abs(mean) < 3 * spread
    assert (mean, spread) == kid(real, fake, subsets=20, subset_size=100)


def test_metrics_grow_worse_with_noise(halves):
    first, second = halves
    values = []
    for noise in (0, 20, 80):
        worse = (second.float() + noise * torch.randn(second.shape)).clamp(0, 255).to(torch.uint8)
        rows = {row["metric"]: row["value"] for row in evaluate_images(worse, first, second[:20])}
        values.append((rows["KID x1000"], -rows["coverage"]))
    assert values == sorted(values)
    assert values[2][0] > values[0][0] + 100


def test_the_quick_kernel_distance_is_kid_on_whole_sets():
    own = torch.Generator().manual_seed(4)
    real, fake = torch.randn(80, 6, generator=own), 1.3 * torch.randn(80, 6, generator=own) + 0.2
    assert kernel_distance(real, fake) == pytest.approx(kid(real, fake, subsets=1, subset_size=80)[0], rel=1e-6)
    assert kernel_distance(real, fake[:30]) > 100

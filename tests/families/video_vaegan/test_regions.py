"""Golden boxes with their reference values, boxes that follow what happens, and crops that read the right pixels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.families.video_vaegan.crops import axis_matrix, crop
from trainwright.families.video_vaegan.regions import PHI, adapted, as_condition, boxes, grid

CUTS_64 = [
    (0, 0, 64, 64),
    (0, 0, 39.554, 64),
    (39.554, 0, 64, 64),
    (0, 0, 39.554, 39.554),
    (0, 39.554, 39.554, 64),
    (39.554, 0, 64, 39.554),
]
SPIRAL_64 = [
    (24, 24, 40, 40),
    (30.216, 27.016, 40.184, 36.984),
    (25.322, 33.323, 33.354, 41.355),
    (22.622, 20.434, 27.990, 25.802),
    (50.788, 26.620, 53.988, 29.820),
    (19.820, 62.400, 23.020, 64),
]
CUTS_96 = [
    (0, 0, 96, 64),
    (0, 0, 59.331, 64),
    (59.331, 0, 96, 64),
    (0, 0, 59.331, 39.554),
    (0, 39.554, 59.331, 64),
    (59.331, 0, 96, 39.554),
]


def test_the_reference_boxes() -> None:
    found = boxes("hybrid", 64, 64, 12, 4)
    torch.testing.assert_close(found, torch.tensor(CUTS_64 + SPIRAL_64), atol=1.1e-3, rtol=0)
    wide = boxes("hybrid", 96, 64, 12, 4)
    torch.testing.assert_close(wide[:6], torch.tensor(CUTS_96), atol=1.1e-3, rtol=0)
    shifted = torch.tensor(SPIRAL_64) + torch.tensor([16.0, 0, 16, 0])
    shifted[5] = torch.tensor([35.749, 62.4, 38.949, 64])
    torch.testing.assert_close(wide[6:], shifted, atol=1.1e-3, rtol=0)


@settings(deadline=None, max_examples=80)
@given(
    st.sampled_from(["subdivide", "spiral", "hybrid"]),
    st.integers(16, 300),
    st.integers(16, 300),
    st.integers(1, 24),
    st.integers(2, 8),
)
def test_boxes_lie_in_the_frame(kind: str, width: int, height: int, count: int, least: int) -> None:
    found = boxes(kind, width, height, count, least)  # type: ignore[arg-type]
    assert found.shape == (count, 4)
    assert bool((found[:, :2] >= 0).all())
    assert bool((found[:, 2] <= width).all()) and bool((found[:, 3] <= height).all())
    assert bool((found[:, 2:] > found[:, :2]).all())
    cells = grid(width, height, count)
    assert cells.shape == (count, 4) and bool((cells[:, 2] <= width + 1e-3).all())


def test_published_boxes_are_the_same_for_every_clip_and_adapted_ones_are_not() -> None:
    published = boxes("hybrid", 32, 32, 8, 4)
    activity = torch.zeros(3, 32, 32)
    activity[0, 20:28, 2:10] = 1  # lower left
    activity[1, 4:12, 22:30] = 1  # upper right
    found = adapted(published, activity)
    assert found.shape == (3, 8, 4)
    torch.testing.assert_close(found[2], published)  # nothing happens: the published ones
    middle = (found[:, 4, :2] + found[:, 4, 2:]) / 2  # of the spiral's first square
    assert middle[0, 0] < 12 < 20 < middle[1, 0]
    assert middle[1, 1] < 12 < 20 < middle[0, 1]
    conditions = as_condition(found, 32, 32)
    assert conditions.shape == (3, 32)
    assert float((conditions[0] - conditions[1]).abs().max()) > 0.2
    torch.testing.assert_close(adapted(published, activity, strength=0.0), published.expand(3, -1, -1))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_adapted_boxes_keep_their_order_and_the_frame(seed: int, strength: float) -> None:
    activity = torch.rand(2, 24, 40, generator=torch.Generator().manual_seed(seed)) ** 8
    published = boxes("subdivide", 40, 24, 6, 3)
    found = adapted(published, activity, strength)
    assert bool((found[..., 2:] >= found[..., :2]).all())
    torch.testing.assert_close(found[:, 0], published[0].expand(2, 4), atol=1e-3, rtol=0)


def test_a_golden_cut_of_what_happens_divides_it_in_the_golden_ratio() -> None:
    activity = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0)) ** 6
    found = adapted(boxes("subdivide", 32, 32, 2, 4), activity, strength=1.0)
    cut = float(found[0, 1, 2])
    columns = activity[0].sum(dim=0)
    whole, rest = int(cut), cut - int(cut)
    left = float(columns[:whole].sum() + rest * columns[whole])
    assert left / float(columns.sum()) == pytest.approx(1 / PHI, abs=1e-3)


@pytest.mark.parametrize("kind", ["roi_align", "resize"])
def test_a_crop_of_a_ramp_reads_its_coordinates(kind: str) -> None:
    """Bilinear reading is exact on a plane, so each place reads the coordinate of its own centre."""
    across = torch.arange(32.0) + 0.5
    ramp = torch.stack([across.expand(32, 32), across[:, None].expand(32, 32)])[None]
    box = torch.tensor([[6.0, 9.0, 22.0, 17.0]])
    found = crop(ramp, box, 4, kind)[0, 0]  # type: ignore[arg-type]
    torch.testing.assert_close(found[0, 0], torch.tensor([8.0, 12.0, 16.0, 20.0]), atol=0.05, rtol=0)
    torch.testing.assert_close(found[1, :, 0], torch.tensor([10.0, 12.0, 14.0, 16.0]), atol=0.05, rtol=0)


def test_boxes_may_differ_by_clip() -> None:
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    two = torch.stack([boxes("hybrid", 16, 16, 4, 2), grid(16, 16, 4)])
    together = crop(x, two, 4, "resize")
    for i in range(2):
        torch.testing.assert_close(together[i], crop(x[i : i + 1], two[i], 4, "resize")[0])
    rows = axis_matrix(two[..., 0], two[..., 2], 16, 4, "roi_align").sum(dim=-1)
    torch.testing.assert_close(rows, torch.ones_like(rows))

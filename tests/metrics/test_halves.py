"""Real data beside themselves."""

import pytest
import torch

from trainwright.diagnosis.probes.samples import SampleProbe
from trainwright.metrics.reference_split import halves, parts


def test_every_row_is_in_one_half():
    rows = torch.arange(11)[:, None]
    first, second = halves(rows)
    assert len(first) == 5
    assert sorted(torch.cat([first, second]).flatten().tolist()) == list(range(11))
    assert torch.equal(halves(rows)[0], first)
    assert not torch.equal(halves(rows, seed=1)[0], first)


def test_neither_part_is_too_small_to_be_measured():
    for n, count, sizes in ((40, 4, (34, 6)), (40, 4000, (6, 34)), (13, 2, (7, 6)), (9, 100, (5, 4)), (2, 50, (1, 1))):
        first, second = parts(torch.arange(n), count, least=6)
        assert (len(first), len(second)) == sizes


def test_real_pictures_cover_themselves_however_their_files_are_sorted():
    own = torch.Generator().manual_seed(0)
    folders = torch.randn(8, 1, 3, 16, 16, generator=own)
    real = (folders + 0.3 * torch.randn(8, 32, 3, 16, 16, generator=own)).flatten(0, 1)
    assert SampleProbe(real, real[:0]).ceiling(256)["real/coverage"] > 0.9


def test_the_ceiling_is_what_a_perfect_model_reaches_with_as_many_samples():
    own = torch.Generator().manual_seed(0)
    few = torch.randn(6, 3 * 8 * 8, generator=own)  # dimensions, as images have

    def draw(n):
        return (torch.randn(n, 6, generator=own) @ few).view(n, 3, 8, 8)

    real = draw(512)
    for count in (32, 128, 512):
        first, second = parts(real, count)
        assert len(first) + len(second) == 512
        assert len(second) / len(first) == pytest.approx(count / 512, rel=0.05)
        probe = SampleProbe(real, real[:0])
        reached = [probe.measure(draw(count))["samples/coverage"] for _ in range(4)]
        assert probe.ceiling(count)["real/coverage"] == pytest.approx(sum(reached) / 4, abs=0.06)

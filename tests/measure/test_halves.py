"""Real data beside themselves."""

import torch

from trainwright.health.probes.samples import SampleProbe
from trainwright.measure.halves import halves


def test_every_row_is_in_one_half():
    rows = torch.arange(11)[:, None]
    first, second = halves(rows)
    assert len(first) == 5
    assert sorted(torch.cat([first, second]).flatten().tolist()) == list(range(11))
    assert torch.equal(halves(rows)[0], first)
    assert not torch.equal(halves(rows, seed=1)[0], first)


def test_real_pictures_cover_themselves_however_their_files_are_sorted():
    own = torch.Generator().manual_seed(0)
    folders = torch.randn(8, 1, 3, 16, 16, generator=own)
    real = (folders + 0.3 * torch.randn(8, 32, 3, 16, 16, generator=own)).flatten(0, 1)
    assert SampleProbe(real, real[:0]).ceiling()["real/coverage"] > 0.9

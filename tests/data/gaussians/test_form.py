"""Forms and orders: one description for each Gaussian in the canonical one, and the way back."""

import math

import pytest
import torch

from tests.data.gaussians.test_render import some_sets
from trainwright.data.gaussians.form import Form
from trainwright.data.gaussians.order import codes, morton
from trainwright.data.gaussians.render import Canvas, render

CANVAS = Canvas(32, 32)


@pytest.mark.parametrize("kind", ["raw", "canonical"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_way_back_renders_the_same_picture(kind, channels):
    sets, form = some_sets(40, channels).float(), Form(kind, channels)
    values = form.encode(sets)
    assert values.shape[-1] == form.width == {"raw": 5, "canonical": 6}[kind] + channels
    assert torch.allclose(render(form.decode(values, CANVAS), CANVAS), render(sets, CANVAS), atol=1e-3)


def test_groups_cover_every_number_once():
    for kind in ("raw", "canonical"):
        form = Form(kind, 3)
        covered = [i for group in form.groups.values() for i in range(group.start, group.stop)]
        assert covered == list(range(form.width))


def test_descriptions_of_one_gaussian_are_one_in_the_canonical_form():
    sets, form = some_sets(40, 3), Form("canonical", 3)
    turned = sets.clone()
    turned[..., 4] += math.pi
    swapped = sets.clone()
    swapped[..., [2, 3]] = sets[..., [3, 2]]
    swapped[..., 4] += math.pi / 2
    for same in (turned, swapped):
        assert torch.allclose(form.encode(same), form.encode(sets), atol=1e-9)
        assert not torch.allclose(Form("raw", 3).encode(same), Form("raw", 3).encode(sets), atol=1e-2)


def test_a_round_gaussian_has_no_rotation_and_near_ones_hardly_any():
    one = torch.tensor([[0.5, 0.5, 1.0, 1.0, 0.7, 0.0]])
    near = one.clone()
    near[..., 2] += 0.01
    form = Form("canonical", 1)
    assert form.encode(one)[..., 4:6].abs().max() == 0
    assert form.encode(near)[..., 4:6].abs().max() < 0.03


def test_any_numbers_decode_to_something_that_renders():
    for kind in ("raw", "canonical"):
        form = Form(kind, 3)
        wild = 1e4 * torch.randn(2, 30, form.width, generator=torch.Generator().manual_seed(0))
        assert torch.isfinite(render(form.decode(wild, CANVAS), CANVAS)).all()


def test_morton_codes_are_the_known_ones():
    corner = 1 / (2**16 - 1)
    places = torch.tensor([[0, 0], [corner, 0], [0, corner], [corner, corner], [2 * corner, 0]], dtype=torch.float64)
    assert codes(places).tolist() == [0, 1, 2, 3, 4]
    assert morton(places.flip(0)).tolist() == [4, 3, 2, 1, 0]

"""Rendering beside the plain formula: both blends, any size, values and gradients."""

import math

import pytest
import torch

from trainwright.data.gaussians.render import EPSILON, Canvas, geometry, reaching, render


def plain(sets, canvas, blend, top_k):
    """Every Gaussian at every pixel, written as the definition reads."""
    y, x = torch.meshgrid(torch.arange(canvas.height) + 0.5, torch.arange(canvas.width) + 0.5, indexing="ij")
    pixels = torch.stack([x, y], -1).reshape(-1, 1, 2).to(sets)
    images = []
    for one in sets:
        cos, sin = one[:, 4].cos(), one[:, 4].sin()
        turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
        covariance = turn @ torch.diag_embed(torch.exp(2 * one[:, 2:4])) @ turn.transpose(1, 2)
        d = pixels - one[:, :2] * torch.tensor([canvas.width, canvas.height]).to(one)
        weight = torch.exp(-0.5 * torch.einsum("pni,nij,pnj->pn", d, torch.linalg.inv(covariance), d))
        if blend == "normalised":
            if top_k is not None and top_k < weight.shape[1]:
                weight = weight * (weight >= weight.topk(top_k, -1).values.amin(-1, keepdim=True))
            weight = weight / (weight.sum(-1, keepdim=True) + EPSILON)
        images.append((weight @ one[:, 5:]).T.reshape(-1, canvas.height, canvas.width))
    return torch.stack(images)


def some_sets(count, channels, seed=0, batch=2):
    g = torch.Generator().manual_seed(seed)
    place = torch.rand(batch, count, 2, generator=g)
    logs = math.log(2.0) + 0.3 * torch.randn(batch, count, 2, generator=g)
    angle = 3 * torch.randn(batch, count, 1, generator=g)
    return torch.cat([place, logs, angle, torch.rand(batch, count, channels, generator=g)], -1).double()


@pytest.mark.parametrize(
    ("blend", "top_k"), [("normalised", 10), ("normalised", 3), ("normalised", None), ("sum", None)]
)
@pytest.mark.parametrize(("height", "width", "channels"), [(32, 32, 3), (20, 28, 4), (17, 9, 1)])
def test_it_is_the_formula(blend, top_k, height, width, channels):
    sets, canvas = some_sets(60, channels), Canvas(height, width)
    difference = (render(sets, canvas, blend, top_k) - plain(sets, canvas, blend, top_k)).abs()
    assert difference.mean() < 2e-3  # what lies beyond 3.5 standard deviations is left out
    assert difference.max() < 0.1 if blend == "normalised" else difference.max() < 0.03


@pytest.mark.parametrize("blend", ["normalised", "sum"])
def test_gradients_are_those_of_the_formula(blend):
    canvas = Canvas(16, 16)
    ours, theirs = (some_sets(24, 3).requires_grad_() for _ in range(2))
    weight = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)).double()
    (render(ours, canvas, blend, None) * weight).sum().backward()
    (plain(theirs, canvas, blend, None) * weight).sum().backward()
    assert torch.nn.functional.cosine_similarity(ours.grad.flatten(), theirs.grad.flatten(), dim=0) > 0.999


def test_one_gaussian_is_where_and_as_long_as_it_says():
    canvas = Canvas(64, 64)
    one = torch.tensor([[[0.5, 0.75, math.log(6.0), math.log(2.0), 0.0, 1.0]]])
    image = render(one, canvas, "sum")[0, 0]
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    mass = image.sum()
    assert float((x * image).sum() / mass) == pytest.approx(32, abs=0.05)
    assert float((y * image).sum() / mass) == pytest.approx(48, abs=0.05)
    assert float(((x - 32) ** 2 * image).sum() / mass) == pytest.approx(36, rel=0.05)
    assert float(((y - 48) ** 2 * image).sum() / mass) == pytest.approx(4, rel=0.05)


def test_nothing_anywhere_is_black_and_wild_values_stay_finite():
    canvas = Canvas(32, 32)
    far = torch.tensor([[[9.0, 9.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]]])
    assert render(far, canvas).abs().max() == 0
    wild = torch.tensor([[[0.5, 0.5, -9.0, 9.0, 1e6, 5.0, -5.0, 0.0], [0.1, 0.9, 12.0, 12.0, 0.0, 1.0, 1.0, 1.0]]])
    for blend in ("normalised", "sum"):
        assert torch.isfinite(render(wild, canvas, blend)).all()


def test_reaching_finds_whatever_shows():
    sets, canvas = some_sets(60, 3), Canvas(32, 32)
    index = reaching(geometry(sets, canvas), canvas)
    for tile in range(16):
        left, top = 8 * (tile % 4), 8 * (tile // 4)
        place = sets[0, :, :2] * 32
        inside = ((place >= torch.tensor([left, top])) & (place < torch.tensor([left + 8, top + 8]))).all(-1)
        assert set(torch.nonzero(inside).flatten().tolist()) <= set(index[0, tile].tolist())

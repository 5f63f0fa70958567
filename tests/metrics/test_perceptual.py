"""The distance of looks: none to itself, gradients to what is made alone, and blur costs more than another error of the same size."""

import torch
import torch.nn.functional as F

from trainwright.data.config import ImageData
from trainwright.data.images import Images
from trainwright.metrics.perceptual import PerceptualDistance

DISTANCE = PerceptualDistance(torch.device("cpu"))


def test_a_blurred_picture_looks_less_alike_than_a_paler_one_with_the_same_squared_error() -> None:
    real = torch.as_tensor(Images.open(ImageData(source="photos", size=32)).some("train", 16))
    blurred = F.avg_pool2d(real, 3, 1, 1, count_include_pad=False)
    middle = real.mean((2, 3), keepdim=True)
    fade = ((blurred - real).square().mean() / (middle - real).square().mean()).sqrt()
    paler = real + fade * (middle - real)
    assert torch.allclose((blurred - real).square().mean(), (paler - real).square().mean(), rtol=1e-3)
    assert float(DISTANCE(real, real)) < 1e-9
    assert float(DISTANCE(blurred, real)) > 2 * float(DISTANCE(paler, real))


def test_gradients_go_to_what_is_made_and_lead_towards_the_truth() -> None:
    torch.manual_seed(0)
    target = torch.rand(2, 3, 32, 32) * 2 - 1
    made = (target + 0.2 * torch.randn_like(target)).requires_grad_()
    target.requires_grad_()
    before = DISTANCE(made, target)
    before.backward()
    assert made.grad is not None and target.grad is None
    assert DISTANCE(made - 0.05 * made.grad.sign(), target) < before

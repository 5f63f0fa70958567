"""Quality of predictions, compared with copying the last frame."""

import math
from typing import Any

import torch
from torch import Tensor

from trainwright.data.images import to_byte_tensor
from trainwright.metrics import lpips
from trainwright.metrics.features import Features

CEILING = 100.0  # dB, for a prediction without error


def psnr_each(made: Tensor, target: Tensor) -> Tensor:
    """Compute the PSNR in dB of each clip, (B,), from two (B, T, 3, S, S) in [-1, 1]."""
    error = (made - target).square().flatten(1).mean(1)
    return (10 * torch.log10(4 / error.clamp_min(1e-12))).clamp_max(CEILING)


def psnr_pooled(made: Tensor, target: Tensor) -> float:
    """Compute the PSNR in dB of the error over all clips, so that still clips do not dominate it."""
    return 10 * math.log10(4 / max(float((made - target).square().mean()), 1e-12))


def ssim(made: Tensor, target: Tensor) -> float:
    """Compute the structural similarity, mean over frames."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    found = structural_similarity_index_measure(made.flatten(0, 1), target.flatten(0, 1), data_range=2.0)
    assert isinstance(found, Tensor)
    return float(found)


class FeatureDistance:
    """Mean squared distance of packaged features between each frame and its truth; it is not LPIPS.

    Args:
        target: (B, T, 3, S, S) in [-1, 1]; only its features are kept.
        last: (B, 3, S, S), the last given frame.
    """

    def __init__(self, target: Tensor, last: Tensor) -> None:
        self._network = Features()
        self._target = self._of(target)
        self._copied = self._of(last[:, None].expand_as(target))

    def __call__(self, made: Tensor, chosen: Tensor | slice = slice(None)) -> float:
        """Compute the distance of predictions (b, T, 3, S, S) of the b ``chosen`` clips."""
        return float((self._of(made) - self._target[chosen]).square().mean())

    def copied(self, chosen: Tensor | slice = slice(None)) -> float:
        """Compute the distance of the last given frame, repeated for each predicted frame."""
        return float((self._copied[chosen] - self._target[chosen]).square().mean())

    def _of(self, frames: Tensor) -> Tensor:
        found: Tensor = self._network.of(to_byte_tensor(frames.flatten(0, 1).cpu()))
        return found.unflatten(0, frames.shape[:2])


def prediction_signals(made: Tensor, target: Tensor, last: Tensor) -> dict[str, float]:
    """Compute PSNR and SSIM of predictions and of the copied last frame, and the ratio of their errors.

    Args:
        made: (B, T, 3, S, S) in [-1, 1].
        target: the same.
        last: (B, 3, S, S), the last given frame.
    """
    copied = last[:, None].expand_as(target)
    error, floor = (made - target).square().mean(), (copied - target).square().mean()
    return {
        "prediction/psnr": psnr_pooled(made, target),
        "prediction/psnr_mean": float(psnr_each(made, target).mean()),
        "prediction/copy_psnr": psnr_pooled(copied, target),
        "prediction/copy_psnr_mean": float(psnr_each(copied, target).mean()),
        "prediction/ssim": ssim(made, target),
        "prediction/copy_ssim": ssim(copied, target),
        "prediction/error_beside_copy": float(error / floor.clamp_min(1e-12)),
    }


def prediction_rows(made: Tensor, target: Tensor, last: Tensor) -> list[dict[str, Any]]:
    """Build the rows of ``trainwright evaluate``, with LPIPS where it is installed.

    ``floor`` is the value of copying the last frame.
    """
    found = prediction_signals(made, target, last)
    distance = FeatureDistance(target, last)
    rows = [
        (
            "prediction/psnr",
            "prediction/copy_psnr",
            "higher",
            "PSNR in dB over held-out windows (256 at most); `floor` is that of copying the last frame",
        ),
        ("prediction/psnr_mean", "prediction/copy_psnr_mean", "higher", "PSNR in dB of each window, averaged"),
        ("prediction/ssim", "prediction/copy_ssim", "higher", "structural similarity"),
    ]
    out = [_row(name, found[name], found[floor], better, meaning) for name, floor, better, meaning in rows]
    meaning = "squared distance of the packaged features, frame by frame"
    out.append(_row("prediction/feature_distance", distance(made), distance.copied(), "lower", meaning))
    if made.shape[-1] >= lpips.LEAST_SIDE and lpips.at_hand():
        truth, copied = target.flatten(0, 1), last[:, None].expand_as(target).flatten(0, 1)
        meaning = "LPIPS with AlexNet (Zhang et al. 2018)"
        values = lpips.lpips(made.flatten(0, 1), truth), lpips.lpips(copied, truth)
        out.append(_row("prediction/lpips", *values, "lower", meaning))
    return out


def _row(metric: str, value: float, floor: float, better: str, meaning: str) -> dict[str, Any]:
    return {"metric": metric, "value": value, "spread": None, "better": better, "floor": floor, "meaning": meaning}

"""Quality of predictions, compared with copying the last frame."""

import math
from typing import Any

from torch import Tensor

from trainwright.data.images import to_byte_tensor
from trainwright.metrics import lpips
from trainwright.metrics.features import Features
from trainwright.metrics.image_quality import psnr, ssim

CEILING = 100.0  # dB, of a clip that is predicted without an error
POOLED_CEILING = 10 * math.log10(4 / 1e-12)  # the same of all clips
EACH_CLIP = (1, 2, 3, 4)


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
        # over all clips at once: those in which nothing moves do not outweigh the others
        "prediction/psnr": float(psnr(made, target, 2.0, most=POOLED_CEILING)),
        "prediction/psnr_mean": float(psnr(made, target, 2.0, EACH_CLIP, CEILING).mean()),
        "prediction/copy_psnr": float(psnr(copied, target, 2.0, most=POOLED_CEILING)),
        "prediction/copy_psnr_mean": float(psnr(copied, target, 2.0, EACH_CLIP, CEILING).mean()),
        "prediction/ssim": _ssim(made, target),
        "prediction/copy_ssim": _ssim(copied, target),
        "prediction/error_beside_copy": float(error / floor.clamp_min(1e-12)),
    }


def _ssim(made: Tensor, target: Tensor) -> float:
    """Mean structural similarity of the frames of (B, T, 3, S, S) clips in [-1, 1]."""
    return float(ssim(made.flatten(0, 1), target.flatten(0, 1), 2.0).mean())


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

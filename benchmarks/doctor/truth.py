"""Truth that the doctor does not see: sample quality in a network's features, and kinds of images shown."""

from typing import Any

import torch
from torch import Tensor

from trainwright.metrics.features import Features
from trainwright.metrics.neighbours import manifold_metrics, nearest_distance
from trainwright.metrics.reference_split import shuffled
from trainwright.metrics.two_sample import nearest_neighbour_accuracy

KINDS = 20


def quality(samples: Tensor, real: Tensor, held_out: Tensor) -> dict[str, float]:
    """Return coverage and precision of 512 samples in the packaged network's features, kinds of images, and copies."""
    if not bool(torch.isfinite(samples).all()):
        return {"finite": 0.0}
    network = Features()
    f, r = (network.of(_bytes(x)).float() for x in (samples, shuffled(real, 512)))
    found = {k: v for k, v in manifold_metrics(r, f).items() if k in ("coverage", "precision")}
    centres = _kinds(r)
    found["kinds"] = float(len(set(torch.cdist(f, centres).argmin(1).tolist())))
    pixels = [_bytes(x).float().flatten(1) for x in (samples, real, held_out)]
    found["nearest_ratio"] = float(
        nearest_distance(pixels[0], pixels[1]).median() / nearest_distance(pixels[2], pixels[1]).median()
    )
    found["spread"] = float(_bytes(samples).float().var(0).mean() / _bytes(real).float().var(0).mean())
    found["finite"] = 1.0
    return found


def levels_truth(model: Any, data: Any) -> dict[str, float]:
    """Return for 512 levels a nearest-neighbour test against real ones, and the information of z on a level in nats."""
    made, real = model.levels(512, 1), data.some("train", 512)
    if not bool(torch.isfinite(made).all()):
        return {"finite": 0.0}
    return {"nearest_accuracy": nearest_neighbour_accuracy(made.flatten(1), real.flatten(1)), "finite": 1.0}


def _bytes(x: Tensor) -> Tensor:
    return ((x.clamp(-1, 1) + 1) * 127.5).round().byte()


def _kinds(features: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    centres = features[torch.randperm(len(features), generator=generator)[:KINDS]]
    for _ in range(15):
        owner = torch.cdist(features, centres).argmin(1)
        counts = torch.bincount(owner, minlength=KINDS).clamp_min(1)
        centres = torch.zeros_like(centres).index_add_(0, owner, features) / counts[:, None]
    return centres

"""Segmentation: images and their masks are shuffled separately.

Source: github.com/mlcommons/GaNDLF pull request 870, with pull request 868.
The data and the ground truth of the training pipeline had different orders. The network can learn only the average mask.
"""

import torch
import torch.nn.functional as F
from torch import nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="labels_mismatched",
    symptoms=("wiring", "plateau", "mean_regression", "trivial_baseline"),
    spoils="training",
    source="mlcommons/GaNDLF#870",
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(9)
    clean = images("sprites")
    masks = (clean > -0.95).any(1, keepdim=True).float()
    scans = clean + 0.4 * torch.randn_like(clean)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 1, 3, 1, 1),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    loader = zip(batches(scans, 32, seed=3), batches(masks, 32, seed=3 if fixed else 4), strict=False)
    watch = trainwright.watch(total=500)
    for step, (image, label) in zip(range(500), loader, strict=False):
        output = model(image)
        probability = output.sigmoid()
        dice = 2 * (probability * label).sum() / (probability.sum() + label.sum())
        loss = F.binary_cross_entropy_with_logits(output, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss, dice=dice)
    return watch

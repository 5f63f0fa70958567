"""Segmentation: the scheduler of the learning rate steps after each batch.

Source: github.com/ivadomed/ivadomed pull request 55, merged.
A decay that is meant for epochs runs within the first of them. Training stops long before the network is good.
"""

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="lr_reaches_zero_early",
    symptoms=("wiring", "plateau", "slow", "frozen_network"),
    spoils="training",
    source="ivadomed/ivadomed#55",
    also=("lr_too_low", "lr_zero"),
)


def dice_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Return 1 - the Dice coefficient."""
    return 1 - 2 * (pred * target).sum() / (pred.sum() + target.sum() + 1)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(55)
    inputs = images("sprites", background=255)
    gts = (images("sprites") != inputs).any(1, keepdim=True).float()
    model = nn.Sequential(
        nn.Conv2d(3, 24, 3, 1, 1), nn.LeakyReLU(0.1), nn.Conv2d(24, 24, 3, 1, 2, dilation=2), nn.LeakyReLU(0.1), nn.Conv2d(24, 1, 1),
        nn.Sigmoid(),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8)
    n_batches, data = len(inputs) // 16, batches(torch.arange(len(inputs)), 16)
    watch = trainwright.watch(total=8 * n_batches)
    step = 0
    for _epoch in range(8):
        for _ in range(n_batches):
            index = next(data)
            preds = model(inputs[index] + 0.6 * torch.randn(16, 3, 16, 16))
            loss = dice_loss(preds, gts[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if not fixed:
                scheduler.step()
            watch(step, loss=loss)
            step += 1
        if fixed:
            scheduler.step()
    return watch

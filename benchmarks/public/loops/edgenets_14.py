"""Segmentation: the gradients are set to zero between backward and step.

Source: github.com/sacmehta/EdgeNets issue 14; the owner took over the reporter's order.
The optimizer always sees zeros, so nothing is learned.
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
    cause="accumulated_gradients_cleared",
    symptoms=("wiring", "plateau", "frozen_network", "slow", "trivial_baseline"),
    spoils="training",
    source="sacmehta/EdgeNets#14",
    also=("not_trained", "optimizer_never_steps"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(14)
    inputs = images("sprites", background=255)
    masks = (images("sprites") != inputs).any(1).long()
    model = nn.Sequential(
        nn.Conv2d(3, 24, 3, 1, 1), nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 24, 3, 1, 2, dilation=2), nn.BatchNorm2d(24),
        nn.ReLU(), nn.Conv2d(24, 2, 1),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=4e-5)
    watch = trainwright.watch(total=400)
    for step, index in zip(range(400), batches(torch.arange(len(inputs)), 16), strict=False):
        outputs = model(inputs[index] + 0.3 * torch.randn(16, 3, 16, 16))
        loss = F.cross_entropy(outputs, masks[index])
        if fixed:
            optimizer.zero_grad()
        loss.backward()
        if not fixed:
            optimizer.zero_grad()
        optimizer.step()
        watch(step, loss=loss, accuracy=(outputs.argmax(1) == masks[index]).float().mean())
    return watch

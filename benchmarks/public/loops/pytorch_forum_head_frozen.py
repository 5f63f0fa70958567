"""Fine-tuning: everything but BatchNorm is frozen, and with it the new head.

Source: discuss.pytorch.org/t/84911.
It is one of the silent errors of TrainCheck (OSDI'25), OrderLab/TrainCheck-Evaluation-Workloads.
The optimizer holds the head's parameters, which get no gradient. BatchNorm's get one, but are in no optimizer.
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
    cause="not_trained",
    symptoms=("wiring", "frozen_network", "plateau"),
    spoils="training",
    source="discuss.pytorch.org/t/84911",
    also=("parameters_not_optimized", "optimizer_never_steps"),
)


class Net(nn.Module):
    """Three convolutions with BatchNorm, and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (
            nn.Conv2d(3, 16, 3, 2, 1),
            nn.Conv2d(16, 32, 3, 2, 1),
            nn.Conv2d(32, 64, 3, 2, 1),
        )
        self.bn1, self.bn2, self.bn3 = nn.BatchNorm2d(16), nn.BatchNorm2d(32), nn.BatchNorm2d(64)
        self.fc = nn.Linear(256, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        for conv, bn in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = F.relu(bn(conv(x)))
        return self.fc(x.flatten(1))


def pretrained() -> Net:
    """Return a network that has learned to tell upright images from those turned over."""
    net = Net()
    upright = torch.cat([images("sprites"), images("emoji")])
    x = torch.cat([upright, upright.flip(2)])
    y = (torch.arange(len(x)) >= len(upright)).long()
    opt = torch.optim.Adam(net.parameters(), 2e-3)
    for _, chosen in zip(range(150), batches(torch.arange(len(x)), 32), strict=False):
        opt.zero_grad()
        F.cross_entropy(net(x[chosen]), y[chosen]).backward()
        opt.step()
    return net


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(84)
    # New task: sprites and emoji.
    sprites, emoji = images("sprites"), images("emoji")[:900]
    x = torch.cat([sprites, emoji])
    y = (torch.arange(len(x)) >= len(sprites)).long()
    model_transfer = pretrained()
    model_transfer.zero_grad()
    model_transfer.fc = nn.Linear(256, 2)
    optimizer_transfer = torch.optim.Adam(model_transfer.fc.parameters(), 1e-3)
    for name, param in model_transfer.named_parameters():
        if "bn" not in name:
            param.requires_grad = False
    if fixed:
        for param in model_transfer.fc.parameters():
            param.requires_grad = True
    watch = trainwright.watch(total=800)
    for step, chosen in zip(range(800), batches(torch.arange(len(x)), 32), strict=False):
        optimizer_transfer.zero_grad()
        output = model_transfer(x[chosen])
        loss = F.cross_entropy(output, y[chosen])
        loss.backward()
        optimizer_transfer.step()
        watch(step, train_loss=loss)
    return watch

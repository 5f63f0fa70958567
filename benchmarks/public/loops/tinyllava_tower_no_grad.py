"""Image and text model: the vision tower is to be tuned, but its forward pass runs under ``no_grad``.

Source: github.com/TinyLLaVA/TinyLLaVA_Factory issue 17; the owner removed the decorator.
The option to tune the tower is set and the optimizer holds its parameters. No gradient arrives, so the tower keeps its first weights.
"""

import csv

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import BUILTIN, batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="not_trained",
    symptoms=("wiring", "frozen_network", "plateau", "slow"),
    spoils="training",
    source="TinyLLaVA/TinyLLaVA_Factory#17",
)


def labels() -> Tensor:
    """Return the group of each emoji, in the order of ``images("emoji")``."""
    groups = [row["group"] for row in csv.DictReader((BUILTIN / "emoji_sheet.csv").open())]
    kinds = sorted(set(groups))
    return torch.tensor([kinds.index(g) for g in groups])[
        torch.randperm(len(groups), generator=torch.Generator().manual_seed(1))
    ]


class LLaVA(nn.Module):
    """Vision tower, connector, and the answer."""

    def __init__(self, frozen: bool) -> None:
        super().__init__()
        self.frozen = frozen
        self.vision_tower = nn.Sequential(
            nn.Conv2d(3, 24, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(24, 48, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(48, 48, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.connector, self.answer = nn.Linear(192, 24), nn.Linear(24, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the outputs."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.vision_tower(pixels)
        return self.answer(F.gelu(self.connector(features)))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(16)
    x, y = images("emoji"), labels()
    model = LLaVA(frozen=not fixed)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    watch = trainwright.watch(total=900)
    for step, index in zip(range(900), batches(torch.arange(len(x)), 64), strict=False):
        loss = F.cross_entropy(model(x[index]), y[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    return watch

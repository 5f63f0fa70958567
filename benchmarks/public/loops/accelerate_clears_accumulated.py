"""Accelerate with gradient accumulation: gradients are cleared before the last micro-batch instead of after the step.

Source: github.com/huggingface/accelerate issue 616, corrected in pull request 620.
``zero_grad`` acts only in the micro-batch that steps. At its start it removes what the others gathered.
An eighth of the gradient is left.
"""

import csv

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import BUILTIN, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="accumulated_gradients_cleared",
    symptoms=("wiring", "slow", "plateau"),
    spoils="training",
    source="huggingface/accelerate#616",
    also=("lr_too_low",),
)


def labels() -> Tensor:
    """Return the group of each emoji, in the order of ``images("emoji")``."""
    groups = [row["group"] for row in csv.DictReader((BUILTIN / "emoji_sheet.csv").open())]
    kinds = sorted(set(groups))
    return torch.tensor([kinds.index(g) for g in groups])[
        torch.randperm(len(groups), generator=torch.Generator().manual_seed(1))
    ]


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(14)
    data = TensorDataset(images("emoji"), labels())
    model = nn.Sequential(
        nn.Conv2d(3, 24, 3, 2, 1), nn.ReLU(), nn.Conv2d(24, 48, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(768, 10)
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=8)
    model, optimizer, training_dataloader = accelerator.prepare(
        model, optimizer, DataLoader(data, 8, shuffle=True, drop_last=True)
    )
    epochs, step = 9, 0
    watch = trainwright.watch(total=epochs * len(training_dataloader))
    for _ in range(epochs):
        for inputs, targets in training_dataloader:
            with accelerator.accumulate(model):
                if not fixed:
                    optimizer.zero_grad()
                loss = F.cross_entropy(model(inputs), targets)
                accelerator.backward(loss)
                optimizer.step()
                if fixed:
                    optimizer.zero_grad()
            watch(step, loss=loss)
            step += 1
    return watch

"""Fine-tuning of a pruned classifier: the optimizer still holds the layers from before the pruning.

Source: github.com/microsoft/nni issue 4521.
The speed-up replaces layers by smaller ones. The optimizer was built before, so no parameter of the new layers is updated.
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
    cause="parameters_not_optimized",
    symptoms=("wiring", "frozen_network", "plateau"),
    spoils="training",
    source="microsoft/nni#4521",
    also=("optimizer_never_steps", "not_trained"),
)


def labels() -> Tensor:
    """Return the group of each emoji, in the order of ``images("emoji")``."""
    groups = [row["group"] for row in csv.DictReader((BUILTIN / "emoji_sheet.csv").open())]
    kinds = sorted(set(groups))
    return torch.tensor([kinds.index(g) for g in groups])[
        torch.randperm(len(groups), generator=torch.Generator().manual_seed(1))
    ]


@torch.no_grad()
def speedup_model(model: nn.Sequential) -> None:
    """Keep half of the channels of both convolutions, by their L1 norm."""
    first, second, last = model[0], model[2], model[5]
    a, b = (layer.weight.abs().sum((1, 2, 3)).topk(len(layer.weight) // 2).indices for layer in (first, second))
    model[0], model[2], model[5] = (
        nn.Conv2d(3, len(a), 3, 2, 1),
        nn.Conv2d(len(a), len(b), 3, 2, 1),
        nn.Linear(len(b) * 16, 10),
    )
    model[0].weight.copy_(first.weight[a])
    model[0].bias.copy_(first.bias[a])
    model[2].weight.copy_(second.weight[b][:, a])
    model[2].bias.copy_(second.bias[b])
    model[5].weight.copy_(last.weight.view(10, -1, 16)[:, b].flatten(1))
    model[5].bias.copy_(last.bias)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(8)
    x, y = images("emoji"), labels()
    model = nn.Sequential(
        nn.Conv2d(3, 24, 3, 2, 1), nn.ReLU(), nn.Conv2d(24, 48, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(768, 10)
    )
    optimizer, data = torch.optim.Adam(model.parameters(), 1e-3), batches(torch.arange(len(x)), 64)
    for _ in range(300):  # train the large model first
        index = next(data)
        optimizer.zero_grad()
        F.cross_entropy(model(x[index]), y[index]).backward()
        optimizer.step()
    speedup_model(model)
    if fixed:
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    watch = trainwright.watch(total=600)
    for step in range(600):
        index = next(data)
        output = model(x[index])
        loss = F.cross_entropy(output, y[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss, acc=(output.argmax(1) == y[index]).float().mean())
    return watch

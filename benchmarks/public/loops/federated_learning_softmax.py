"""Classifier: softmax in the network, and cross-entropy applies it again.

Source: github.com/shaoxiongji/federated-learning issue 9; the owner removed the softmax.
Cross-entropy takes raw scores. With probabilities as scores the classes hardly differ, and the loss has a high floor.
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
    cause="sigmoid_twice",
    symptoms=("wiring", "plateau", "slow"),
    spoils="training",
    source="shaoxiongji/federated-learning#9",
    also=("softmax_twice", "output_activation"),
)


def labels() -> Tensor:
    """Return the group of each emoji, in the order of ``images("emoji")``."""
    groups = [row["group"] for row in csv.DictReader((BUILTIN / "emoji_sheet.csv").open())]
    kinds = sorted(set(groups))
    return torch.tensor([kinds.index(g) for g in groups])[
        torch.randperm(len(groups), generator=torch.Generator().manual_seed(1))
    ]


class MLP(nn.Module):
    """Two hidden layers."""

    def __init__(self, softmax: bool) -> None:
        super().__init__()
        self.layer_input, self.layer_middle, self.layer_hidden = (
            nn.Linear(768, 200),
            nn.Linear(200, 200),
            nn.Linear(200, 10),
        )
        self.softmax = nn.Softmax(dim=1) if softmax else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        x = F.relu(self.layer_input(x.flatten(1)))
        x = F.relu(self.layer_middle(x))
        return self.softmax(self.layer_hidden(x))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(7)
    x, y = images("emoji"), labels()
    net = MLP(softmax=not fixed)
    optimizer, loss_func = torch.optim.SGD(net.parameters(), 0.05, momentum=0.5), nn.CrossEntropyLoss()
    watch = trainwright.watch(total=1200)
    for step, index in zip(range(1200), batches(torch.arange(len(x)), 64), strict=False):
        net.zero_grad()
        output = net(x[index])
        loss = loss_func(output, y[index])
        loss.backward()
        optimizer.step()
        watch(step, loss=loss, acc=(output.argmax(1) == y[index]).float().mean())
    return watch

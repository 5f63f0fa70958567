"""Perceptron of several layers without activations between them.

Source: github.com/YujiaBao/ls issue 1; the author put the missing ReLUs in.
The layers are one linear map together, however many there are. Classes that a plane cannot part stay where chance
leaves them.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="no_activation",
    symptoms=("wiring", "plateau", "trivial_baseline", "stalled", "overfitting"),
    spoils="training",
    source="YujiaBao/ls#1",
    also=("network_too_small",),
    seconds=6,
)


def load_data(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return rows of 12 measurements and one of three classes: it depends on products and on the distance."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 12, generator=g)
    near = x[:, :4].square().sum(1) < 3.4
    same_sign = x[:, 4] * x[:, 5] > 0
    return x, torch.where(near, 0, torch.where(same_sign, 1, 2))


class MLP(nn.Module):
    """Hidden layers and the scores."""

    def __init__(self, input_dim: int, hidden_dim: int, num_classes: int, depth: int, relu: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(depth):
            layers.append(nn.Linear(input_dim if i == 0 else hidden_dim, hidden_dim))
            if relu:
                layers.append(nn.ReLU())
            layers.append(nn.Dropout(0.05))
        self.layers = nn.Sequential(*layers)
        self.out = nn.Linear(hidden_dim, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        return self.out(self.layers(x))


@torch.no_grad()
def test_loop(model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, float]:
    """Return loss and accuracy."""
    model.eval()
    scores = model(x)
    model.train()
    return F.cross_entropy(scores, y).item(), (scores.argmax(1) == y).float().mean().item()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    x, y = load_data(12000, 1)
    val_x, val_y = load_data(1000, 2)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True, drop_last=True)
    model = MLP(input_dim=12, hidden_dim=192, num_classes=3, depth=3, relu=fixed)
    opt = torch.optim.Adam(model.parameters(), lr=1e-3)

    epochs, step = 8, 0
    watch = trainwright.watch(total=epochs * len(loader))
    for _ in range(epochs):
        for i, (batch_x, batch_y) in enumerate(loader):
            loss = F.cross_entropy(model(batch_x), batch_y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            if i == len(loader) - 1:
                val_loss, val_acc = test_loop(model, val_x, val_y)
                watch(step, train_loss=loss.item(), val_loss=val_loss, val_acc=val_acc)
            else:
                watch(step, train_loss=loss.item())
            step += 1
    return watch

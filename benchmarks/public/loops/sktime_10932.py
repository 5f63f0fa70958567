"""Regression of a number from a series: predictions have one axis more than the targets.

Source: github.com/sktime/sktime pull request 10932, merged.
The network returns (batch, 1) and the loader yields (batch,). Their difference is a table of every prediction
against every target, and the best prediction is the mean of the targets.
"""

import math

import torch
import torch.nn as nn
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="loss_shapes_broadcast",
    symptoms=("wiring", "plateau", "mean_regression", "trivial_baseline", "variance_collapse"),
    spoils="training",
    source="sktime/sktime#10932",
    seconds=7,
)
CHANNELS, LENGTH, EPOCHS, BATCH = 2, 48, 20, 32


def panel(n: int) -> tuple[Tensor, Tensor]:
    """Return series (n, 2, 48) of two sensors on a machine, and its speed (n,), standardised."""
    t = torch.arange(LENGTH) / LENGTH
    speed = 2 + 6 * torch.rand(n, 1)
    phase, size = 2 * math.pi * torch.rand(n, 1), 0.5 + torch.rand(n, 1)
    first = size * torch.sin(2 * math.pi * speed * t + phase)
    second = size * torch.cos(2 * math.pi * speed * t + phase).abs() + 0.3 * torch.rand(n, 1) * t
    x = torch.stack([first, second], 1) + 0.1 * torch.randn(n, CHANNELS, LENGTH)
    return x, (speed[:, 0] - 5) / 1.73


class FCNNetwork(nn.Module):
    """Three convolutions and a mean over time."""

    def __init__(self, filters: int = 32) -> None:
        super().__init__()
        layers, before = [], CHANNELS
        for kernel in (7, 5, 3):
            layers += [nn.Conv1d(before, filters, kernel, padding="same"), nn.BatchNorm1d(filters), nn.ReLU()]
            before = filters
        self.conv, self.fc = nn.Sequential(*layers), nn.Linear(filters, 1)

    def forward(self, X: Tensor) -> Tensor:
        """Return (batch, 1)."""
        return self.fc(self.conv(X).mean(-1))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    x_train, y_train = panel(1600)
    x_test, y_test = panel(300)
    dataloader = DataLoader(TensorDataset(x_train, y_train), batch_size=BATCH, shuffle=True)
    network, criterion = FCNNetwork(), nn.MSELoss()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)

    watch = trainwright.watch(total=EPOCHS * len(dataloader))
    step = 0
    for _ in range(EPOCHS):
        for inputs, outputs in dataloader:
            network.train()
            y_pred = network(inputs)
            if fixed:
                y_pred = y_pred.squeeze(-1)
            loss = criterion(y_pred, outputs)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if (step + 1) % len(dataloader) == 0:
                network.eval()
                with torch.no_grad():
                    y_pred = network(x_test).squeeze(-1)
                watch(step, loss=loss.item(), test_mse=criterion(y_pred, y_test).item())
            else:
                watch(step, loss=loss.item())
            step += 1
    return watch

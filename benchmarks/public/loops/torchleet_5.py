"""Transformer encoder that forecasts series: its layers take the batch for the time axis.

Source: github.com/Exorust/TorchLeet issue 5; the owner agreed.
``nn.TransformerEncoderLayer`` expects (time, batch, features) unless it is told otherwise, and gets (batch,
time, features). Attention runs over the series of a batch at one time; the forecast knows no more of its
own series than the last value.
"""

import math

import torch
import torch.nn as nn
import torch.optim as optim
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="prediction",
    cause="batch_time_swapped",
    symptoms=("wiring", "plateau", "trivial_baseline", "overfitting", "mean_regression"),
    spoils="training",
    source="Exorust/TorchLeet#5",
    seconds=10,
)
SEQ_LENGTH, HORIZON = 20, 5


class TransformerModel(nn.Module):
    """Embedding, encoder and a linear layer on the last place."""

    def __init__(self, embed_dim: int, num_heads: int, num_layers: int, ff_dim: int, batch_first: bool) -> None:
        super().__init__()
        self.embedding = nn.Linear(1, embed_dim)
        self.positional_encoding = nn.Parameter(0.02 * torch.randn(1, SEQ_LENGTH, embed_dim))
        layer = nn.TransformerEncoderLayer(
            d_model=embed_dim, nhead=num_heads, dim_feedforward=ff_dim, dropout=0.0, batch_first=batch_first
        )
        self.transformer_encoder = nn.TransformerEncoder(layer, num_layers=num_layers, enable_nested_tensor=False)
        self.output_layer = nn.Linear(embed_dim, HORIZON)

    def forward(self, x: Tensor) -> Tensor:
        """Return the next values of (batch, time, 1)."""
        x = self.embedding(x) + self.positional_encoding
        return self.output_layer(self.transformer_encoder(x)[:, -1, :])


def generate_data(num_samples: int) -> tuple[Tensor, Tensor]:
    """Return waves of different periods and phases, and how they go on."""
    t = torch.arange(SEQ_LENGTH + HORIZON)
    period, phase = 8 + 12 * torch.rand(num_samples, 1), 2 * math.pi * torch.rand(num_samples, 1)
    waves = (2 * math.pi * t / period + phase).sin() + 0.05 * torch.randn(num_samples, len(t))
    return waves[:, :SEQ_LENGTH, None], waves[:, SEQ_LENGTH:]


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(42)
    x_train, y_train = generate_data(3200)
    x_test, y_test = generate_data(400)
    train_loader = DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True)
    model = TransformerModel(embed_dim=32, num_heads=2, num_layers=2, ff_dim=64, batch_first=fixed)
    criterion = nn.MSELoss()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)

    epochs, step = 12, 0
    watch = trainwright.watch(total=epochs * len(train_loader))
    for _ in range(epochs):
        model.train()
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            step += 1
            if step % len(train_loader) == 0:
                model.eval()
                with torch.no_grad():
                    test_loss = criterion(model(x_test), y_test)
                watch(step - 1, loss=loss.item(), test_loss=test_loss.item())
            else:
                watch(step - 1, loss=loss.item())
    return watch

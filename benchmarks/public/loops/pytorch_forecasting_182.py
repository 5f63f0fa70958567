"""Recurrent forecaster in the manner of DeepAR: the decoder is fed the very value that it should predict.

Source: github.com/sktime/pytorch-forecasting issue 182, a bug that was found there and repaired.
The target among the decoder's inputs should be that of the step before, and is that of the step itself. The
network learns to hand it on; when it forecasts from its own outputs, it repeats the last value.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="prediction",
    cause="targets_in_input",
    symptoms=("wiring", "overfitting", "trivial_baseline", "mean_regression"),
    spoils="training",
    source="sktime/pytorch-forecasting#182",
    also=("copies_last_frame", "targets_misaligned"),
    seconds=8,
)
ENCODER_LENGTH, PREDICTION_LENGTH, EPOCHS, BATCH = 30, 12, 12, 64


def series(n: int) -> Tensor:
    """Return (n, 42): two waves of different periods, a trend and a little noise."""
    t = torch.arange(ENCODER_LENGTH + PREDICTION_LENGTH)
    x = torch.zeros(n, len(t))
    for shortest, longest, size in ((6, 10, 0.7), (14, 24, 1.0)):
        period, phase = shortest + (longest - shortest) * torch.rand(n, 1), 2 * math.pi * torch.rand(n, 1)
        x = x + size * (0.5 + torch.rand(n, 1)) * torch.sin(2 * math.pi * t / period + phase)
    return x + 0.02 * (torch.rand(n, 1) - 0.5) * t + 0.05 * torch.randn(n, len(t))


class DeepAR(nn.Module):
    """LSTM that reads the past and goes on step by step."""

    def __init__(self, fixed: bool, hidden_size: int = 64) -> None:
        super().__init__()
        self.rnn = nn.LSTM(1, hidden_size, batch_first=True)
        self.distribution_projector = nn.Linear(hidden_size, 1)
        self.fixed = fixed

    def forward(self, encoder_cont: Tensor, decoder_cont: Tensor) -> Tensor:
        """Return predictions for training, where the decoder's targets are known."""
        # the encoder leaves out its last value, which is the decoder's first input
        _, state = self.rnn(encoder_cont[:, :-1, None])
        lagged = torch.cat([encoder_cont[:, -1:], decoder_cont[:, :-1]], 1)
        output, _ = self.rnn((lagged if self.fixed else decoder_cont)[..., None], state)
        return self.distribution_projector(output)[..., 0]

    @torch.no_grad()
    def predict(self, encoder_cont: Tensor) -> Tensor:
        """Return a forecast from the past alone."""
        _, state = self.rnn(encoder_cont[:, :-1, None])
        value, outputs = encoder_cont[:, -1:], []
        for _ in range(PREDICTION_LENGTH):
            output, state = self.rnn(value[..., None], state)
            value = self.distribution_projector(output)[..., 0]
            outputs.append(value)
        return torch.cat(outputs, 1)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(42)
    train, valid = series(3200), series(400)
    train_dataloader = DataLoader(TensorDataset(train), batch_size=BATCH, shuffle=True, drop_last=True)
    net = DeepAR(fixed)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)

    watch = trainwright.watch(total=EPOCHS * len(train_dataloader))
    step = 0
    for _ in range(EPOCHS):
        for (x,) in train_dataloader:
            past, future = x[:, :ENCODER_LENGTH], x[:, ENCODER_LENGTH:]
            loss = F.mse_loss(net(past, future), future)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            if (step + 1) % len(train_dataloader) == 0:
                val_loss = F.mse_loss(net.predict(valid[:, :ENCODER_LENGTH]), valid[:, ENCODER_LENGTH:])
                watch(step, train_loss=loss.item(), val_loss=val_loss.item())
            else:
                watch(step, train_loss=loss.item())
            step += 1
    return watch

"""LSTM for time series: a batch is reshaped where its axes should be exchanged.

Source: github.com/NervanaSystems/neon issue 311; the reporter gave the correction.
The layer takes columns in the order of time, then batch. The iterator lays them out in the order of batch, then time, for inputs and
targets alike, so the steps of a column come from different windows.
"""

import math

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="prediction",
    cause="data_layout",
    symptoms=("wiring", "plateau", "trivial_baseline", "mean_regression", "slow", "blur", "off_data"),
    spoils="training",
    source="NervanaSystems/neon#311",
    also=("batch_time_swapped",),
    seconds=11,
)


class DataIteratorSequence:
    """Windows of a series in batches: (features, steps * batch)."""

    def __init__(self, X: Tensor, time_steps: int, batch_size: int, fixed: bool) -> None:
        self.time_steps, self.bsz, self.fixed = time_steps, batch_size, fixed
        self.X = X[:, :-1].unfold(1, time_steps, time_steps).flatten(0, 1)[..., None]
        self.y = X[:, 1:].unfold(1, time_steps, time_steps).flatten(0, 1)[..., None]
        self.nbatches = len(self.X) // batch_size

    def columns(self, windows: Tensor) -> Tensor:
        """Return (features, steps * batch)."""
        features = windows.shape[-1]
        if self.fixed:
            windows = windows.transpose(0, 1)
        return windows.reshape(-1, features).T.contiguous()

    def rows(self, columns: Tensor) -> Tensor:
        """Return (batch, steps, features)."""
        if self.fixed:
            return columns.T.view(self.time_steps, -1, columns.shape[0]).transpose(0, 1)
        return columns.T.view(-1, self.time_steps, columns.shape[0])

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return a batch of inputs and targets."""
        return self.columns(self.X[index]), self.columns(self.y[index])


class Recurrent(nn.Module):
    """LSTM over steps, and an affine layer: (features, steps * batch) -> (outputs, steps * batch)."""

    def __init__(self, time_steps: int, hidden: int = 64) -> None:
        super().__init__()
        self.time_steps, self.hidden = time_steps, hidden
        self.lstm, self.affine = nn.LSTMCell(1, hidden), nn.Linear(hidden, 1)

    def get_steps(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the columns of each step."""
        return x.chunk(self.time_steps, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of all steps."""
        h = c = x.new_zeros(x.shape[1] // self.time_steps, self.hidden)
        outputs = []
        for xs in self.get_steps(x):
            h, c = self.lstm(xs.T, (h, c))
            outputs.append(self.affine(h).T)
        return torch.cat(outputs, 1)


def rolling(n: int, length: int) -> Tensor:
    """Return series (n, length): waves of various rates."""
    rate, phase = 0.3 + 1.0 * torch.rand(n, 1), 2 * math.pi * torch.rand(n, 1)
    return (rate * torch.arange(length) + phase).sin() + 0.02 * torch.randn(n, length)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(311)
    time_steps, batch_size = 20, 32
    train = DataIteratorSequence(rolling(800, 61), time_steps, batch_size, fixed)
    test = DataIteratorSequence(rolling(100, 61), time_steps, batch_size, fixed)
    model = Recurrent(time_steps)
    cost, opt = nn.MSELoss(), torch.optim.RMSprop(model.parameters(), lr=2e-3)

    @torch.no_grad()
    def get_outputs(n: int) -> Tensor:
        x, _ = test.batch(torch.randperm(len(test.X))[:n])
        return test.rows(model(x))[..., 0]

    total = 2500
    watch = trainwright.watch(total=total, sample=get_outputs, real=test.y[..., 0])
    for step in range(total):
        if step % train.nbatches == 0:
            order = torch.randperm(len(train.X))
        start = step % train.nbatches * batch_size
        x, t = train.batch(order[start : start + batch_size])
        error = cost(model(x), t)
        opt.zero_grad()
        error.backward()
        opt.step()
        valid = None
        if step % 50 == 49:
            with torch.no_grad():
                x, t = test.batch(torch.arange(256))
                valid = cost(model(x), t).item()
        watch(step, cost=error.item(), val_cost=valid)
    return watch

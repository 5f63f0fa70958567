"""LSTM on stock prices: the forecast repeats the past.

Source: github.com/alberduris/SirajsCodingChallenges pull request 5 (merged).
The network returns a prediction for every step of its window. The loop that forecasts appends the first of them, which
belongs to the beginning of the window and is known, instead of the last one.
"""

import torch
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="prediction",
    cause="wrong_step_of_output",
    symptoms=("wiring", "off_data", "worse_than_baseline", "trivial_baseline"),
    spoils="samples",
    source="alberduris/SirajsCodingChallenges#5",
    also=("rollout_window_wrong", "targets_misaligned", "copies_last_frame"),
    seconds=12,
)
backprop_length, horizon = 20, 12


def prices(n: int = 2000) -> Tensor:
    """Return series (n, 32): a trend and a wave of random period and phase."""
    g = torch.Generator().manual_seed(5)
    t = torch.arange(backprop_length + horizon).float()
    period, phase = 9 + 9 * torch.rand(n, 1, generator=g), 6.28 * torch.rand(n, 1, generator=g)
    slope = 0.08 * torch.randn(n, 1, generator=g)
    return slope * t + torch.sin(6.28 * t / period + phase)


class Net(nn.Module):
    """LSTM that predicts the change to the next price at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(2, 96, batch_first=True), nn.Linear(96, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return predictions (n, length) of the next prices."""
        ins = torch.stack([x, x.diff(dim=1, prepend=x[:, :1])], -1)
        return x + self.out(self.lstm(ins)[0])[..., 0]


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(5)
    series = prices()
    model = Net()
    optimizer, loader, total = optim.Adam(model.parameters(), lr=5e-3), batches(series, 64), 2000
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, total)

    @torch.no_grad()
    def forecast(n: int) -> Tensor:
        seen = series[:n, :backprop_length]
        for _ in range(horizon):
            predictions = model(seen[:, -backprop_length:])
            seen = torch.cat([seen, predictions[:, -1:] if fixed else predictions[:, :1]], 1)
        return seen

    watch = trainwright.watch(total=total, sample=forecast, real=series)
    for step in range(total):
        batch = next(loader)
        begin = int(torch.randint(horizon, ()))
        window = batch[:, begin : begin + backprop_length + 1]
        loss = nn.functional.mse_loss(model(window[:, :-1]), window[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        watch(step, loss=loss.item())
    return watch

"""Forecast of water consumption, day after day: the window of recent days is rolled in the wrong direction.

Source: github.com/aildnont/water-forecast pull request 5, merged.
The model is trained well on the next day. In a forecast the prediction becomes the last day of the window,
but the other days are moved towards the present instead of the past, so the second day and all later ones
are predicted from days in a wrong order.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="prediction",
    cause="window_rolled_backwards",
    symptoms=("wiring", "off_data", "mode_dropping", "blur", "mean_regression", "trivial_baseline"),
    spoils="samples",
    source="aildnont/water-forecast#5",
    also=("rollout_window_wrong", "inputs_out_of_order", "sampler_mismatch"),
    seconds=8,
)


class NNModel:
    """Parts that all forecasting networks share."""

    def __init__(self, hparams: dict[str, Any], name: str) -> None:
        self.name = name
        self.t_x = hparams.get("T_X", 21)
        self.batch_size = hparams.get("BATCH_SIZE", 32)
        self.roll = hparams.get("ROLL", 1)
        self.model = self.define_model(hparams)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=hparams.get("LR", 1e-3))

    def define_model(self, hparams: dict[str, Any]) -> nn.Module:
        """Return the network."""
        raise NotImplementedError

    def fit_batch(self, x: Tensor, y: Tensor) -> float:
        """Make a step on windows (n, T_X) and the days that follow them."""
        self.optimizer.zero_grad()
        loss = nn.functional.mse_loss(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    @torch.no_grad()
    def evaluate(self, x: Tensor, y: Tensor) -> float:
        """Return the error for the next day."""
        return nn.functional.mse_loss(self.model(x), y).item()

    @torch.no_grad()
    def forecast(self, days: int, recent_data: np.ndarray) -> np.ndarray:
        """Predict several days, each from the predictions before it: (n, T_X) -> (n, days)."""
        preds = np.zeros((len(recent_data), days), dtype=np.float32)
        x = recent_data
        for i in range(days):
            preds[:, i] = self.model(torch.from_numpy(x)).numpy()
            x = np.roll(x, self.roll, axis=1)
            x[:, -1] = preds[:, i]
        return preds


class GRU(nn.Module):
    """Recurrent layer whose outputs at all days go into two dense layers."""

    def __init__(self, t_x: int, units: int, fc_units: int) -> None:
        super().__init__()
        self.gru = nn.GRU(1, units, batch_first=True)
        self.fc = nn.Sequential(nn.Flatten(), nn.Linear(t_x * units, fc_units), nn.ReLU(), nn.Linear(fc_units, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the next day (n,)."""
        return self.fc(self.gru(x[..., None])[0])[:, 0]


class GRUModel(NNModel):
    """Forecasts with a GRU."""

    def define_model(self, hparams: dict[str, Any]) -> nn.Module:
        """Return the network."""
        return GRU(self.t_x, hparams.get("UNITS", 24), hparams.get("FC_UNITS", 32))


def load_consumption(days: int = 2200) -> np.ndarray:
    """Return standardised daily consumption: high at weekends, higher in summer, with slow drifts and noise."""
    rng = np.random.default_rng(5)
    t = np.arange(days)
    week = np.array([-0.6, -0.9, -0.8, -0.5, 0.1, 1.5, 1.2])[t % 7]
    year = 0.8 * np.sin(2 * math.pi * t / 365)
    drift = np.zeros(days)
    for i in range(1, days):
        drift[i] = 0.9 * drift[i - 1] + 0.12 * rng.standard_normal()
    y = week * (1 + 0.2 * year) + year + drift + 0.12 * rng.standard_normal(days)
    return ((y - y.mean()) / y.std()).astype(np.float32)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(5)
    rng = np.random.default_rng(0)
    consumption = load_consumption()
    model = GRUModel({"T_X": 21, "LR": 2e-3, "ROLL": -1 if fixed else 1}, name="GRU")
    t_x, horizon = model.t_x, 14
    windows = np.lib.stride_tricks.sliding_window_view(consumption, t_x + horizon)
    train, test = windows[:1700], windows[1700 + t_x + horizon :]
    x_test, y_test = torch.from_numpy(test[:, :t_x].copy()), torch.from_numpy(test[:, t_x].copy())

    def forecasts(n: int) -> Tensor:
        rows = test[rng.integers(len(test), size=n)]
        return torch.from_numpy(model.forecast(horizon, rows[:, :t_x].copy()))

    steps = 900
    watch = trainwright.watch(total=steps, sample=forecasts, real=torch.from_numpy(test[:, t_x:].copy()))
    for step in range(steps):
        rows = train[rng.integers(len(train), size=model.batch_size)]
        loss = model.fit_batch(torch.from_numpy(rows[:, :t_x].copy()), torch.from_numpy(rows[:, t_x].copy()))
        if step % 50 == 49:
            watch(step, loss=loss, val_loss=model.evaluate(x_test, y_test))
        else:
            watch(step, loss=loss)
    return watch

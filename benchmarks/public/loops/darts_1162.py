"""Probabilistic forecasts: a Gaussian's standard deviation is given to a loss that expects the variance.

Source: github.com/unit8co/darts pull request 1162, merged.
GaussianLikelihood passes sigma to GaussianNLLLoss and draws forecasts with sigma. What is learned is the variance, and for scaled
series it is much smaller than the deviation, so forecasts hardly vary.
"""

import math

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="prediction",
    cause="deviation_taken_for_variance",
    symptoms=("variance_collapse", "mean_regression", "off_data", "blur", "mode_collapse", "mode_dropping", "wiring"),
    spoils="samples",
    source="unit8co/darts#1162",
    also=("loss_formula",),
    seconds=10,
)
INPUT_CHUNK, OUTPUT_CHUNK = 24, 12


class GaussianLikelihood:
    """Mean and deviation of each value."""

    def __init__(self, fixed: bool) -> None:
        self.fixed, self.nllloss, self.softplus = fixed, nn.GaussianNLLLoss(), nn.Softplus()

    def params_from_output(self, model_output: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and sigma."""
        return model_output[..., 0], self.softplus(model_output[..., 1])

    def compute_loss(self, model_output: Tensor, target: Tensor) -> Tensor:
        """Return the negative log-likelihood."""
        mu, sigma = self.params_from_output(model_output)
        return self.nllloss(mu, target, sigma.square() if self.fixed else sigma)

    def sample(self, model_output: Tensor) -> Tensor:
        """Draw a forecast."""
        mu, sigma = self.params_from_output(model_output)
        return torch.normal(mu, sigma)


class BlockRNNModel(nn.Module):
    """Forecasts a chunk at once."""

    def __init__(self, likelihood: GaussianLikelihood, hidden_dim: int = 64) -> None:
        super().__init__()
        self.likelihood = likelihood
        self.rnn, self.fc = nn.GRU(1, hidden_dim, batch_first=True), nn.Linear(hidden_dim, 2 * OUTPUT_CHUNK)

    def forward(self, past: Tensor) -> Tensor:
        """Return (n, OUTPUT_CHUNK, 2)."""
        _, h = self.rnn(past[..., None])
        return self.fc(h[-1]).view(-1, OUTPUT_CHUNK, 2)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        past, future = batch
        return self.likelihood.compute_loss(self(past), future)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return torch.optim.Adam(self.parameters(), lr=2e-3)

    @torch.no_grad()
    def predict(self, past: Tensor) -> Tensor:
        """Draw forecasts."""
        self.eval()
        forecast = self.likelihood.sample(self(past))
        self.train()
        return forecast


def scaled_sales(n: int) -> Tensor:
    """Return series (n, INPUT_CHUNK + OUTPUT_CHUNK), scaled to about 0 to 1, with a season and much noise."""
    t = torch.arange(INPUT_CHUNK + OUTPUT_CHUNK)
    season = 0.07 * (2 * math.pi * (t / 12 + torch.rand(n, 1))).sin()
    return 0.5 + season + 0.1 * torch.randn(n, len(t))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1162)
    series = scaled_sales(4000)
    train, val = series[:3600], series[3600:]
    model = BlockRNNModel(GaussianLikelihood(fixed))
    optimizer = model.configure_optimizers()

    def forecast(n: int) -> Tensor:
        return model.predict(val[torch.randperm(len(val))[:n], :INPUT_CHUNK])

    max_steps = 1800
    watch = trainwright.watch(total=max_steps, sample=forecast, real=val[:, INPUT_CHUNK:])
    for batch_idx, rows in zip(range(max_steps), batches(train, 64), strict=False):
        optimizer.zero_grad()
        loss = model.training_step((rows[:, :INPUT_CHUNK], rows[:, INPUT_CHUNK:]), batch_idx)
        loss.backward()
        optimizer.step()
        val_loss = None
        if batch_idx % 100 == 99:
            with torch.no_grad():
                val_loss = model.training_step((val[:, :INPUT_CHUNK], val[:, INPUT_CHUNK:]), 0)
        watch(batch_idx, train_loss=loss, val_loss=val_loss)
    return watch

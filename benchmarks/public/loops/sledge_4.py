"""VAE of street maps as black and white rasters: predictions and targets of the cross-entropy are in each other's place.

Source: github.com/autonomousvision/sledge issue 4; the authors had introduced it while refactoring.
The loss is a line in the predictions. It falls below zero without end while every pixel of the map turns white.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="loss_arguments_swapped",
    symptoms=("wiring", "unbounded_loss", "exploding", "off_data", "mode_collapse", "posterior_collapse"),
    spoils="reconstructions",
    source="autonomousvision/sledge#4",
    also=("loss_outside_range", "loss_expects_probabilities", "wrong_sign", "arguments_swapped"),
    seconds=15,
)


@dataclass
class Config:
    """Settings of the model and of its training."""

    latent_dim: int = 16
    model_channels: int = 16
    reconstruction_weight: float = 1.0
    kl_weight: float = 0.3
    learning_rate: float = 1e-3
    max_steps: int = 1200
    batch_size: int = 32


def rasters(n: int, side: int = 16) -> Tensor:
    """Return maps (n, 1, side, side): one or two streets and sometimes a bend."""
    g = torch.Generator().manual_seed(4)
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    turn = math.pi * torch.rand(n, 1, 1, generator=g)
    shift, bend = 0.8 * torch.rand(n, 1, 1, generator=g) - 0.4, 0.8 * torch.rand(n, 1, 1, generator=g) - 0.4
    along, across = x * turn.cos() + y * turn.sin(), y * turn.cos() - x * turn.sin()
    street = (across - shift - bend * along.square()).abs() < 0.15
    where = 1.2 * torch.rand(n, 1, 1, generator=g) - 0.6
    crossing = ((along - where).abs() < 0.15) & (torch.rand(n, 1, 1, generator=g) < 0.5)
    return (street | crossing).float()[:, None]


class RVAEModel(nn.Module):
    """Convolutional encoder and decoder; the decoder returns logits."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        c, self.latent_dim = config.model_channels, config.latent_dim
        self.raster_encoder = nn.Sequential(
            nn.Conv2d(1, c, 3, 2, 1), nn.ReLU(), nn.Conv2d(c, 2 * c, 3, 2, 1), nn.ReLU(), nn.Flatten(),
            nn.Linear(32 * c, 2 * self.latent_dim),
        )  # fmt: skip
        self.raster_decoder = nn.Sequential(
            nn.Linear(self.latent_dim, 32 * c), nn.ReLU(), nn.Unflatten(1, (2 * c, 4, 4)), nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * c, c, 3, 1, 1), nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(c, c, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(c, 1, 3, 1, 1),
        )  # fmt: skip

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return logits, mean and log-variance."""
        mu, log_var = self.raster_encoder(features["raster"]).chunk(2, 1)
        latent = mu + torch.randn_like(mu) * torch.exp(0.5 * log_var)
        return {"raster": self.raster_decoder(latent), "mu": mu, "log_var": log_var}

    @torch.no_grad()
    def generate(self, n: int) -> Tensor:
        """Return n maps."""
        return self.raster_decoder(torch.randn(n, self.latent_dim)).sigmoid()


class VAEObjective:
    """Losses of a VAE of rasters."""

    def __init__(self, config: Config, fixed: bool) -> None:
        self.config, self.fixed = config, fixed

    def compute(self, predictions: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the weighted losses."""
        pred, target = predictions["raster"], targets["raster"]
        pair = (pred, target) if self.fixed else (target, pred)
        bce = F.binary_cross_entropy_with_logits(*pair, reduction="none").sum((1, 2, 3)).mean()
        mu, log_var = predictions["mu"], predictions["log_var"]
        kl = -0.5 * (1 + log_var - mu.square() - log_var.exp()).sum(1).mean()
        return {"reconstruction": self.config.reconstruction_weight * bce, "kl": self.config.kl_weight * kl}


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(4)
    config = Config()
    data, model, objective = rasters(4000), RVAEModel(config), VAEObjective(config, fixed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate)
    watch = trainwright.watch(total=config.max_steps, sample=model.generate, real=data)
    for step, raster in zip(range(config.max_steps), batches(data, config.batch_size), strict=False):
        batch = {"raster": raster}
        losses = objective.compute(model(batch), batch)
        loss = sum(losses.values())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        watch(step, loss=loss, reconstruction_loss=losses["reconstruction"], kl_loss=losses["kl"])
    return watch

"""Diffusion of events in space and time: what is drawn is scaled back with the wrong formula.

Source: github.com/tsinghua-fib-lab/Spatio-temporal-Diffusion-Point-Processes issue 9; it gives the right one.
Events are scaled by (x - least) / (most - least). The way back adds the least before it multiplies, instead
of after: every drawn event is shifted.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="denormalisation_wrong",
    symptoms=("off_data", "wiring"),
    spoils="samples",
    source="tsinghua-fib-lab/Spatio-temporal-Diffusion-Point-Processes#9",
    also=("data_range", "sampler_step_mismatch"),
    seconds=5,
)
TIMESTEPS, STEPS, BATCH = 100, 1500, 256


def earthquakes(n: int = 8000) -> Tensor:
    """Return events (n, 3): hours since the one before, longitude and latitude, along two faults."""
    g = torch.Generator().manual_seed(9)
    along = torch.rand(n, generator=g)
    first = torch.rand(n, generator=g) < 0.6
    lon = torch.where(first, 136 + 8 * along, 129 + 5 * along)
    lat = torch.where(first, 34 + 6 * along + torch.sin(3 * along), 33 - 4 * along.square())
    hours = torch.where(first, -4 * torch.log(1 - 0.98 * torch.rand(n, generator=g)), 2 + 3 * along)
    return torch.stack([hours, lon, lat], 1) + 0.15 * torch.randn(n, 3, generator=g)


class ST_Diffusion(nn.Module):
    """Perceptron that predicts the noise."""

    def __init__(self, hidden: int = 96) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(3 + 16, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(),
            nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 3),
        )  # fmt: skip

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the noise of events (n, 3) at steps (n,)."""
        angles = (t.float()[:, None] / TIMESTEPS) * math.pi * 2.0 ** torch.arange(-1, 7)
        return self.net(torch.cat([x, angles.sin(), angles.cos()], 1))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(9)
    events = earthquakes()
    MIN, MAX = events.min(0).values, events.max(0).values
    scaled = (events - MIN) / (MAX - MIN)
    model = ST_Diffusion()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    betas = torch.linspace(1e-3, 0.2, TIMESTEPS)
    alphas_cumprod = torch.cumprod(1 - betas, 0)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        x = torch.randn(n, 3)
        for i in reversed(range(TIMESTEPS)):
            eps = model(x, torch.full((n,), i))
            x = (x - betas[i] / (1 - alphas_cumprod[i]).sqrt() * eps) / (1 - betas[i]).sqrt()
            if i:
                x = x + betas[i].sqrt() * torch.randn_like(x)
        gen = (x + 1) / 2
        if fixed:
            return gen * (MAX - MIN) + MIN
        return (gen + MIN) * (MAX - MIN)

    watch = trainwright.watch(total=STEPS, sample=sample, real=events)
    for step in range(STEPS):
        x = scaled[torch.randint(len(scaled), (BATCH,))] * 2 - 1
        t, noise = torch.randint(0, TIMESTEPS, (BATCH,)), torch.randn(BATCH, 3)
        a = alphas_cumprod[t][:, None]
        loss = F.mse_loss(model(a.sqrt() * x + (1 - a).sqrt() * noise, t), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        watch(step, loss_temporal_spatial=loss.item())
    return watch

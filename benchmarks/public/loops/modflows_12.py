"""Rectified flow from the colours of pictures to uniform ones, run backwards: the times still go forwards.

Source: github.com/maria-larchenko/modflows issue 12, closed; the reporter saw that reversing them mends it.
The way back subtracts the velocity, and should ask for it at times from 1 down to 0. It asks from 0 to 1, and
the first steps are made with the velocities of the last ones.
"""

import torch
import torch.nn as nn
import torch.optim as optim
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="sampler_step_mismatch",
    symptoms=("wiring", "off_data", "schedule_mismatch", "over_dispersion"),
    spoils="samples",
    source="maria-larchenko/modflows#12",
    also=("sampler_schedule",),
    seconds=5,
)
STEPS, BATCH = 1500, 256


def palette(n: int = 20000) -> Tensor:
    """Return colours (n, 3) in [0, 1] of the pictures' pixels, without the background."""
    pixels = ((images("sprites", 16) + 1) / 2).permute(0, 2, 3, 1).reshape(-1, 3)
    pixels = pixels[pixels.sum(1) > 0.3]
    chosen = torch.randint(len(pixels), (n,), generator=torch.Generator().manual_seed(12))
    return (pixels[chosen] + 0.01 * torch.randn(n, 3, generator=torch.Generator().manual_seed(13))).clamp(0, 1)


class NeuralODE(nn.Module):
    """Velocity of colours, and both directions of the flow."""

    def __init__(self, hidden: int = 96) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(4, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(),
            nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 3),
        )  # fmt: skip

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return velocities."""
        return self.net(torch.cat([x, t], 1))

    @torch.no_grad()
    def sample(self, x0: Tensor, N: int = 50) -> Tensor:
        """Return uniform colours for colours."""
        z = x0.clone()
        for i in range(N):
            z = z + self(z, torch.full((len(z), 1), i / N)) / N
        return z

    @torch.no_grad()
    def inv_sample(self, x1: Tensor, fixed: bool, N: int = 50) -> Tensor:
        """Return colours for uniform colours."""
        z = x1.clone()
        for i in reversed(range(N)) if fixed else range(N):
            z = z - self(z, torch.full((len(z), 1), i / N)) / N
        return z


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(12)
    colours = palette()
    model = NeuralODE()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)

    watch = trainwright.watch(
        total=STEPS, sample=lambda n: model.inv_sample(torch.rand(n, 3), fixed), real=colours[:4000]
    )
    for step in range(STEPS):
        x0, x1 = colours[torch.randint(len(colours), (BATCH,))], torch.rand(BATCH, 3)
        t = torch.rand(BATCH, 1)
        loss = (model((1 - t) * x0 + t * x1, t) - (x1 - x0)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        watch(step, loss=loss.item())
    return watch

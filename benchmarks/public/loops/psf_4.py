"""Point straight flow: reflow makes the samples worse, because noise and shape of the saved pairs are exchanged.

Source: github.com/klightz/PSF issue 4; the author found that the order had been mixed up in a merge, and says to flip it.
A flow is trained first. It makes pairs of noise and shape, on which the second one is fine-tuned. With the pairs
flipped it learns to go from shapes to noise, and is still started from noise.
"""

import math

import torch
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="flow_ends_exchanged",
    symptoms=("wiring", "off_data", "over_dispersion", "variance_collapse", "diverging", "exploding", "mode_dropping"),
    spoils="samples",
    source="klightz/PSF#4",
    also=("prediction_type_mismatch", "wrong_sign", "sampler_step_mismatch", "noise_distribution_mismatch",
          "labels_mismatched"),
    seconds=11,
)  # fmt: skip
POINTS = 12


def shapes(n: int = 4000) -> Tensor:
    """Return clouds of 12 points on a turned ellipse or star in space: (n, 36)."""
    g = torch.Generator().manual_seed(4)
    k, turn = torch.arange(POINTS) * 2 * math.pi / POINTS, torch.rand(n, 1, generator=g) * 2 * math.pi
    radius = torch.where(torch.rand(n, 1, generator=g) < 0.5, torch.ones(1, POINTS), 1 + 0.6 * torch.cos(3 * k)[None])
    x, y = radius * k.cos() * 1.6, radius * k.sin()
    x, z = x * turn.cos(), x * turn.sin()
    return torch.stack([x, y, z], -1).flatten(1) * 1.2


class Flow(nn.Module):
    """Velocity of a cloud at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(3 * POINTS + 8, 256, 256, 256, 3 * POINTS)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the velocity at (n, 36) and times (n,)."""
        angles = t[:, None] * math.pi * 2.0 ** torch.arange(-1, 3)
        return self.net(torch.cat([x, angles.sin(), angles.cos()], 1))

    @torch.no_grad()
    def sample_flow(self, noise: Tensor, step: int) -> Tensor:
        """Follow the flow from noise."""
        x = noise
        for i in range(step):
            x = x + self(x, torch.full((len(x),), i / step)) / step
        return x


def flow_loss(model: Flow, x0: Tensor, x1: Tensor) -> Tensor:
    """Return the loss of the velocity from x0 to x1."""
    t = torch.rand(len(x0))
    x = t[:, None] * x1 + (1 - t[:, None]) * x0
    return (model(x, t) - (x1 - x0)).square().mean()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(4)
    dataset = shapes()
    model = Flow()
    optimizer, loader = optim.Adam(model.parameters(), lr=1e-3), batches(dataset, 128)
    for _ in range(1500):
        x1 = next(loader)
        optimizer.zero_grad()
        flow_loss(model, torch.randn_like(x1), x1).backward()
        optimizer.step()
    noise = torch.randn(4000, 3 * POINTS)
    pairs = torch.stack([noise, model.sample_flow(noise, 60)], 1)
    loader, steps = batches(pairs, 128), 1500
    optimizer = optim.Adam(model.parameters(), lr=5e-4)
    watch = trainwright.watch(
        total=steps, sample=lambda n: model.sample_flow(torch.randn(n, 3 * POINTS), 20), real=dataset
    )
    for step in range(steps):
        pair = next(loader)
        x0, x1 = (pair[:, 0], pair[:, 1]) if fixed else (pair[:, 1], pair[:, 0])
        loss = flow_loss(model, x0, x1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, reflow_loss=loss.item())
    return watch

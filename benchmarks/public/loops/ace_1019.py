"""EDM whose module is built from a checkpoint for generation: it stays in training mode.

Source: github.com/ai2cm/ace pull request 1019, merged.
The blocks of the UNet have a dropout of 0.1. A module that is built and loaded for generation was never set to evaluation mode, so
values are still dropped in every step of the sampler.
"""

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="batch_statistics_when_sampling",
    symptoms=("wiring", "off_data", "blur", "over_dispersion", "colour_cast"),
    spoils="nothing visible",
    source="ai2cm/ace#1019",
    also=("dropout_when_sampling",),
    seconds=20,
)


class UNetBlock(nn.Module):
    """Residual block with dropout, conditioned on the noise level."""

    def __init__(self, channels: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.norm0, self.norm1 = nn.GroupNorm(8, channels), nn.GroupNorm(8, channels)
        self.conv0, self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1), nn.Conv2d(channels, channels, 3, 1, 1)
        self.affine, self.dropout = nn.Linear(embedding, channels), nn.Dropout(dropout)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Return x with the residual."""
        h = self.conv0(nn.functional.silu(self.norm0(x))) + self.affine(emb)[:, :, None, None]
        return x + self.conv1(self.dropout(nn.functional.silu(self.norm1(h))))


class EDMPrecond(nn.Module):
    """Network with the preconditioning of EDM: (n, 3, 8, 8), (n,) -> denoised images."""

    def __init__(self, channels: int = 32, dropout: float = 0.1, sigma_data: float = 0.6) -> None:
        super().__init__()
        self.sigma_data = sigma_data
        self.register_buffer("freqs", torch.randn(16))
        self.map = nn.Sequential(nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU())
        self.first, self.last = nn.Conv2d(3, channels, 3, 1, 1), nn.Conv2d(channels, 3, 3, 1, 1)
        self.high = nn.ModuleList([UNetBlock(channels, 64, dropout) for _ in range(2)])
        self.down, self.up = nn.Conv2d(channels, channels, 3, 2, 1), nn.Upsample(scale_factor=2)
        self.low = nn.ModuleList([UNetBlock(channels, 64, dropout) for _ in range(3)])

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the denoised images."""
        s = sigma[:, None, None, None]
        total = (s.square() + self.sigma_data**2).sqrt()
        angles = sigma.log()[:, None] / 4 * self.freqs * 6.28
        emb = self.map(torch.cat([angles.cos(), angles.sin()], 1))
        h = self.high[0](self.first(x / total), emb)
        low = self.down(h)
        for block in self.low:
            low = block(low, emb)
        f = self.last(self.high[1](h + self.up(low), emb))
        return self.sigma_data**2 / total.square() * x + s * self.sigma_data / total * f


class CheckpointModelConfig:
    """Builds a module from the state of a checkpoint."""

    def __init__(self, fixed: bool) -> None:
        self.fixed = fixed

    def build(self, state: dict[str, Tensor]) -> EDMPrecond:
        """Return the module with its weights."""
        module = EDMPrecond()
        module.load_state_dict(state)
        return module.eval() if self.fixed else module


@torch.no_grad()
def edm_sampler(module: EDMPrecond, n: int, num_steps: int = 14) -> Tensor:
    """Draw images with Heun's method."""
    ramp = torch.linspace(0, 1, num_steps)
    sigmas = (30.0 ** (1 / 7) + ramp * (0.01 ** (1 / 7) - 30.0 ** (1 / 7))) ** 7
    sigmas = torch.cat([sigmas, torch.zeros(1)])
    x = sigmas[0] * torch.randn(n, 3, 8, 8)
    for a, b in zip(sigmas[:-1], sigmas[1:], strict=True):
        d = (x - module(x, a.expand(n))) / a
        new = x + (b - a) * d
        if b > 0:
            new = x + (b - a) * (d + (new - module(new, b.expand(n))) / b) / 2
        x = new
    return x


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1019)
    data, module = images("sprites", 8), EDMPrecond()
    config = CheckpointModelConfig(fixed)
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1600, eta_min=2e-5)

    def generate(n: int) -> Tensor:
        return edm_sampler(config.build(module.state_dict()), n)

    watch = trainwright.watch(total=1600, sample=generate, real=data)
    for i, images_ in zip(range(1600), batches(data, 32), strict=False):
        sigma = (1.2 * torch.randn(len(images_)) - 1.0).exp()
        weight = (sigma.square() + 0.36) / (0.6 * sigma).square()
        denoised = module(images_ + sigma[:, None, None, None] * torch.randn_like(images_), sigma)
        loss = (weight[:, None, None, None] * (denoised - images_).square()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        watch(i, loss=loss.detach())
    return watch

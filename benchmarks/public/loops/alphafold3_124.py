"""EDM for coordinates of atoms, whose spread is 16: noise levels are those of images.

Source: github.com/lucidrains/alphafold3-pytorch issue 124 (confirmed and repaired).
Training draws sigma from a log-normal distribution, and the sampler takes a schedule from 160 to 0.0004; both must be
multiplied by ``sigma_data``. Without this nearly all training noise is tiny against the structures, and the network
never learns to make one from noise.
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
    cause="latents_not_scaled",
    symptoms=("wiring", "off_data", "over_dispersion", "schedule_mismatch", "latent_scale", "variance_collapse",
              "mode_dropping", "mode_collapse", "exploding"),
    spoils="samples",
    source="lucidrains/alphafold3-pytorch#124",
    also=("noise_levels_not_scaled", "data_range", "sampler_schedule", "noise_distribution_mismatch"),
    seconds=21,
)  # fmt: skip
ATOMS, sigma_data = 12, 16.0


def structures(n: int = 4000) -> Tensor:
    """Return helices and zigzags of 12 atoms, turned at random in the plane: (n, 36), centred, of spread about 16."""
    g = torch.Generator().manual_seed(3)
    k = torch.arange(ATOMS).float()[None]
    phase, pitch = torch.rand(n, 1, generator=g) * 2 * math.pi, 4 + torch.rand(n, 1, generator=g)
    helix = torch.stack([14 * torch.cos(1.7 * k + phase), 14 * torch.sin(1.7 * k + phase), pitch * k], -1)
    zigzag = torch.stack([20 * torch.cos(phase) * (-1) ** k, 20 * torch.sin(phase) * (-1) ** k, pitch * k], -1)
    x = torch.where(torch.rand(n, 1, 1, generator=g) < 0.5, helix, zigzag)
    return (x - x.mean(1, keepdim=True)).flatten(1)


class ElucidatedAtomDiffusion(nn.Module):
    """EDM of Karras et al."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.net, self.factor = mlp(3 * ATOMS + 16, 384, 384, 384, 3 * ATOMS), factor

    def preconditioned_network_forward(self, noised: Tensor, sigma: Tensor) -> Tensor:
        """Return the denoised coordinates."""
        sigma = sigma[:, None]
        c_skip = sigma_data**2 / (sigma**2 + sigma_data**2)
        c_out = sigma * sigma_data / (sigma**2 + sigma_data**2).sqrt()
        c_in = 1 / (sigma**2 + sigma_data**2).sqrt()
        c_noise = (sigma / sigma_data).log() / 4
        angles = c_noise * 2.0 ** torch.arange(-2, 6)
        return c_skip * noised + c_out * self.net(torch.cat([c_in * noised, angles.sin(), angles.cos()], 1))

    def noise_distribution(self, batch_size: int) -> Tensor:
        """Return noise levels for training."""
        return self.factor * (-1.2 + 1.5 * torch.randn(batch_size)).exp()

    def forward(self, atom_pos: Tensor) -> Tensor:
        """Return the loss."""
        sigmas = self.noise_distribution(len(atom_pos))
        noised = atom_pos + sigmas[:, None] * torch.randn_like(atom_pos)
        denoised = self.preconditioned_network_forward(noised, sigmas)
        weight = (sigmas**2 + sigma_data**2) / (sigmas * sigma_data) ** 2
        return (weight * (denoised - atom_pos).square().mean(1)).mean()

    @torch.no_grad()
    def sample(self, n: int, num_steps: int = 32) -> Tensor:
        """Draw structures."""
        r, rho = torch.linspace(0, 1, num_steps), 7
        sigmas = self.factor * (160 ** (1 / rho) + r * (4e-4 ** (1 / rho) - 160 ** (1 / rho))) ** rho
        x = sigmas[0] * torch.randn(n, 3 * ATOMS)
        for a, b in zip(sigmas, sigmas[1:], strict=False):
            denoised = self.preconditioned_network_forward(x, a.expand(n))
            x = x + (b - a) * (x - denoised) / a
        return x


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(124)
    dataset = structures()
    diffusion = ElucidatedAtomDiffusion(factor=sigma_data if fixed else 1.0)
    optimizer = optim.Adam(diffusion.parameters(), lr=2e-3)
    loader, steps = batches(dataset, 256), 2400
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    watch = trainwright.watch(total=steps, sample=diffusion.sample, real=dataset)
    for step in range(steps):
        loss = diffusion(next(loader))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(diffusion.parameters(), 10.0)
        optimizer.step()
        scheduler.step()
        watch(step, loss=loss.item())
    return watch

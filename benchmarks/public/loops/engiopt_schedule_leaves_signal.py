"""Diffusion with few steps: the betas are not scaled, so the noisiest training images still show the data.

Source: github.com/IDEALLab/EngiOpt issue 65, corrected in pull request 67.
With 250 steps a factor of 0.28 of the image is left at the last step, and samples start from pure noise. All numbers are a tenth here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="schedule_leaves_signal",
    symptoms=("wiring", "off_data", "colour_cast", "mode_collapse", "blur"),
    spoils="samples",
    source="IDEALLab/EngiOpt#65",
    also=("sampler_schedule_mismatch",),
)


class DiffusionSampler:
    """Adds noise and removes it."""

    def __init__(self, t: int, betas: Tensor) -> None:
        self.t, self.betas, self.alphas = t, betas, 1 - betas
        self.alphas_cumprod = torch.cumprod(self.alphas, 0)
        self.alphas_cumprod_prev = F.pad(self.alphas_cumprod[:-1], (1, 0), value=1.0)

    def forward_diffusion_sample(self, x_0: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the noisy images and their noise."""
        noise, a = torch.randn_like(x_0), self.alphas_cumprod[t][:, None, None, None]
        return a.sqrt() * x_0 + (1 - a).sqrt() * noise, noise

    @torch.no_grad()
    def sample_timestep(self, model: Denoiser, x: Tensor, t: int) -> Tensor:
        """Return the images of the step before."""
        a, before, beta = self.alphas_cumprod[t], self.alphas_cumprod_prev[t], self.betas[t]
        noise_pred = model(x, torch.full((len(x),), t))
        x_0 = ((x - (1 - a).sqrt() * noise_pred) / a.sqrt()).clamp(-1, 1)
        mean = beta * before.sqrt() / (1 - a) * x_0 + (1 - before) * self.alphas[t].sqrt() / (1 - a) * x
        variance = beta * (1 - before) / (1 - a)
        return mean + variance.sqrt() * torch.randn_like(x) if t > 0 else mean


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    num_timesteps = 100 if fixed else 25
    designs = images("sprites", 8)
    model = Denoiser(total=num_timesteps)
    ddm_sampler = DiffusionSampler(num_timesteps, torch.linspace(1e-3, 0.2, num_timesteps))
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)

    def sample(n: int) -> Tensor:
        gen_designs = torch.randn(n, 3, 8, 8)
        for i in range(num_timesteps - 1, -1, -1):
            gen_designs = ddm_sampler.sample_timestep(model, gen_designs, i)
        return gen_designs

    watch = trainwright.watch(total=600, sample=sample, real=designs)
    for step, batch in zip(range(600), batches(designs, 32), strict=False):
        t = torch.randint(0, num_timesteps, (32,))
        x_noisy, noise = ddm_sampler.forward_diffusion_sample(batch, t)
        loss = F.mse_loss(model(x_noisy, t), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    return watch

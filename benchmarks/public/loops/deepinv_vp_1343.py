"""Variance-preserving diffusion in continuous time: the derivative of sigma lacks a factor of 2.

Source: github.com/deepinv/deepinv pull request 1343, merged.
The sampler moves twice as fast as the noise level falls, so the network sees less noise than it is told. Images come out uniform.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, batches, images, noised
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="sampler_step_mismatch",
    symptoms=("wiring", "off_data", "mode_collapse", "mode_dropping", "blur", "colour_cast"),
    spoils="samples",
    source="deepinv/deepinv#1343",
    also=("sampler_schedule", "sampler_schedule_mismatch"),
    seconds=12,
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(43)
    x, denoiser, beta_min, beta_d = images("sprites", 8), Denoiser(), 0.1, 11.9
    optimizer = torch.optim.Adam(denoiser.parameters(), 2e-3)

    def exponent(t: Tensor) -> Tensor:
        return beta_min * t + 0.5 * beta_d * t.square()

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        timesteps = torch.linspace(1, 1e-3, 50)
        y = torch.randn(n, 3, 8, 8) * (exponent(timesteps[0]).exp() - 1).sqrt()
        for t, after in zip(timesteps, timesteps[1:], strict=False):
            sigma = (exponent(t).exp() - 1).sqrt()
            sigma_prime = (beta_min + beta_d * t) * exponent(t).exp() / sigma
            if fixed:
                sigma_prime = sigma_prime / 2
            eps = denoiser(y / (1 + sigma.square()).sqrt(), 100 * t.expand(n))
            denoised = (y - sigma * eps).clamp(-1, 1)
            y = y + (after - t) * sigma_prime * (y - denoised) / sigma
        return y

    watch = trainwright.watch(total=700, sample=sample, real=x)
    for step, batch in zip(range(700), batches(x, 32), strict=False):
        t, noise = torch.rand(32), torch.randn_like(batch)
        loss = F.mse_loss(denoiser(noised(batch, noise, (-exponent(t)).exp()), 100 * t), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    return watch

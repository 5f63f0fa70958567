"""DDPM: the posterior variance lacks its denominator.

Source: github.com/varun-ml/diffusion-models-tutorial pull request 1, merged.
A factor cancels out that should be divided by 1 - alpha-bar. Every step adds far too much noise, so samples stay noise.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas, batches, images, noised
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="sampler_step_mismatch",
    symptoms=("wiring", "off_data", "over_dispersion", "colour_cast"),
    spoils="samples",
    source="varun-ml/diffusion-models-tutorial#1",
    also=("sampler_schedule", "sampler_schedule_mismatch", "temperature"),
    seconds=12,
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    data, model = images("sprites", 8), Denoiser(total=50)
    baralphas = alphas(50)
    before = torch.cat([torch.ones(1), baralphas[:-1]])
    alpha = baralphas / before
    if fixed:
        posterior_variance = (1 - alpha) * (1 - before) / (1 - baralphas)
    else:
        posterior_variance = (1 - alpha) * (1 - before) / (1 - alpha)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        x = torch.randn(n, 3, 8, 8)
        for t in range(49, -1, -1):
            eps = model(x, torch.full((n,), t))
            x = (x - (1 - alpha[t]) / (1 - baralphas[t]).sqrt() * eps) / alpha[t].sqrt()
            x = x + posterior_variance[t].sqrt() * torch.randn_like(x)
        return x

    watch = trainwright.watch(total=700, sample=sample, real=data)
    for step, x0 in zip(range(700), batches(data, 32), strict=False):
        t, eps = torch.randint(0, 50, (32,)), torch.randn_like(x0)
        loss = F.mse_loss(model(noised(x0, eps, baralphas[t]), t), eps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    return watch

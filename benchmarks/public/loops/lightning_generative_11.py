"""DDPM: the noisy sample is clamped to [-1, 1] in every sampling step.

Source: github.com/seungjunlee96/lightning-generative-models pull request 11, merged.
Noisy samples reach far beyond this range. Clamped, they have less noise than the network is told, and images lose their contrast.
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
    symptoms=("wiring", "off_data", "mode_collapse", "mode_dropping", "blur", "colour_cast"),
    spoils="samples",
    source="seungjunlee96/lightning-generative-models#11",
    also=("noisy_sample_clamped", "clipping_of_clean_estimate", "sampler_schedule", "sampler_schedule_mismatch"),
    seconds=12,
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(11)
    x, unet, alphas_bar = images("sprites", 8), Denoiser(total=50), alphas(50)
    before = torch.cat([torch.ones(1), alphas_bar[:-1]])
    optimizer = torch.optim.Adam(unet.parameters(), 2e-3)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        x_t = torch.randn(n, 3, 8, 8)
        for t in range(49, -1, -1):
            alpha, beta = alphas_bar[t] / before[t], 1 - alphas_bar[t] / before[t]
            eps = unet(x_t, torch.full((n,), t))
            x_t = (x_t - beta / (1 - alphas_bar[t]).sqrt() * eps) / alpha.sqrt()
            x_t = x_t + (beta * (1 - before[t]) / (1 - alphas_bar[t])).sqrt() * torch.randn_like(x_t)
            if not fixed:
                x_t = x_t.clamp(-1, 1)
        return x_t

    watch = trainwright.watch(total=700, sample=sample, real=x)
    for step, x_0 in zip(range(700), batches(x, 32), strict=False):
        t, eps = torch.randint(0, 50, (32,)), torch.randn_like(x_0)
        loss = F.mse_loss(unet(noised(x_0, eps, alphas_bar[t]), t), eps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    return watch

"""Latent diffusion: latents are not scaled to unit variance.

Source: github.com/CompVis/latent-diffusion issue 187; the same question in huggingface/diffusers issue 437.
The autoencoder's latents have a standard deviation far from 1 and are diffused as they are.
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
    cause="latents_not_scaled",
    symptoms=("wiring", "off_data", "colour_cast", "plateau", "mode_collapse"),
    spoils="samples",
    source="CompVis/latent-diffusion#187",
    also=("data_range", "schedule_leaves_signal"),
    seconds=12,
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(24)
    x, bar = images("sprites", 8), alphas()
    mean = x.mean(0)

    # Stands for a trained autoencoder without a KL term: its latents have a standard deviation of about 20.
    def encode(image: Tensor) -> Tensor:
        return (image - mean) * 40

    def decode(z: Tensor) -> Tensor:
        return (z / 40 + mean).clamp(-1, 1)

    scale_factor = 1 / encode(x).std() if fixed else 1.0
    bound = 3.5 * float((encode(x) * scale_factor).std())
    unet = Denoiser()
    opt = torch.optim.Adam(unet.parameters(), 2e-3)
    times = list(range(99, -1, -5))

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        z = torch.randn(n, 3, 8, 8)
        for i, t in enumerate(times):
            a, before = bar[t], bar[times[i + 1]] if i + 1 < len(times) else torch.tensor(1.0)
            e = unet(z, torch.full((n,), t))
            z0 = ((z - (1 - a).sqrt() * e) / a.sqrt()).clamp(-bound, bound)
            e = (z - a.sqrt() * z0) / (1 - a).sqrt()
            z = before.sqrt() * z0 + (1 - before).sqrt() * e
        return decode(z / scale_factor)

    watch = trainwright.watch(total=700, sample=sample, real=x)
    for step, image in zip(range(700), batches(x, 32), strict=False):
        z = encode(image) * scale_factor
        t, noise = torch.randint(0, 100, (32,)), torch.randn_like(z)
        loss = F.mse_loss(unet(noised(z, noise, bar[t]), t), noise)
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss_simple=loss)
    return watch

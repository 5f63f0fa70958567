"""Latent diffusion: the sampler clips the clean estimate to [-1, 1], and latents reach 4.

Source: github.com/kohya-ss/sd-scripts issue 1432.
``clip_sample`` is set to True for the scheduler of the samples that are drawn in training. It must be False for latents.
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
    cause="clipping_of_clean_estimate",
    symptoms=("wiring", "off_data", "colour_cast", "mode_collapse", "blur"),
    spoils="samples",
    source="kohya-ss/sd-scripts#1432",
    also=("latents_not_scaled", "data_range"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(2)
    pixels = images("sprites", 8)
    mean, deviation = pixels.mean((0, 2, 3), keepdim=True), 0.5 * pixels.std()

    # Stands for a trained autoencoder and its scale factor.
    def encode(image: Tensor) -> Tensor:
        return (image - mean) / deviation

    def decode(latents: Tensor) -> Tensor:
        return (latents * deviation + mean).clamp(-1, 1)

    latents_cache, clip_sample = encode(pixels), not fixed
    alphas_cumprod = torch.cumprod(1 - torch.linspace(0.0085**0.5, 0.12**0.5, 100) ** 2, 0)
    unet = Denoiser()
    optimizer = torch.optim.AdamW(unet.parameters(), 2e-3)

    @torch.no_grad()
    def sample_images(n: int) -> Tensor:
        latents, timesteps = torch.randn(n, 3, 8, 8), list(range(96, -1, -5))
        for t in timesteps:
            a, before = alphas_cumprod[t], alphas_cumprod[t - 5] if t >= 5 else torch.tensor(1.0)
            noise_pred = unet(latents, torch.full((n,), t))
            original = (latents - (1 - a).sqrt() * noise_pred) / a.sqrt()
            if clip_sample:
                original = original.clamp(-1, 1)
                noise_pred = (latents - a.sqrt() * original) / (1 - a).sqrt()
            latents = before.sqrt() * original + (1 - before).sqrt() * noise_pred
        return decode(latents)

    watch = trainwright.watch(total=600, sample=sample_images, real=pixels)
    for step, latents in zip(range(600), batches(latents_cache, 32), strict=False):
        timesteps, noise = torch.randint(0, 100, (32,)), torch.randn_like(latents)
        noise_pred = unet(noised(latents, noise, alphas_cumprod[timesteps]), timesteps)
        loss = F.mse_loss(noise_pred, noise, reduction="none").mean([1, 2, 3]).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        watch(step, current_loss=loss)
    return watch

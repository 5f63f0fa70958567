"""Training of a v-prediction model without the option for it: the network learns the noise, and is sampled as if it gave v.

Source: github.com/kohya-ss/sd-scripts issue 1772.
Training shows no error, and images come out empty. With the option for v-prediction the reporter's training succeeds.
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
    cause="prediction_type_mismatch",
    symptoms=("wiring", "off_data", "mode_collapse"),
    spoils="samples",
    source="kohya-ss/sd-scripts#1772",
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(3)
    v_parameterization = fixed
    pixels, unet, alphas_cumprod = images("sprites", 8), Denoiser(), alphas()
    optimizer = torch.optim.AdamW(unet.parameters(), 2e-3)

    @torch.no_grad()
    def sample_images(n: int) -> Tensor:
        latents = torch.randn(n, 3, 8, 8)
        for t in range(99, -1, -5):
            a, before = alphas_cumprod[t], alphas_cumprod[t - 5] if t >= 5 else torch.tensor(1.0)
            v = unet(latents, torch.full((n,), t))
            original = (a.sqrt() * latents - (1 - a).sqrt() * v).clamp(-1, 1)
            noise_pred = (latents - a.sqrt() * original) / (1 - a).sqrt()
            latents = before.sqrt() * original + (1 - before).sqrt() * noise_pred
        return latents

    watch = trainwright.watch(total=600, sample=sample_images, real=pixels)
    for step, latents in zip(range(600), batches(pixels, 32), strict=False):
        timesteps, noise = torch.randint(0, 100, (32,)), torch.randn_like(latents)
        a = alphas_cumprod[timesteps]
        model_pred = unet(noised(latents, noise, a), timesteps)
        if v_parameterization:
            a = a[:, None, None, None]
            target = a.sqrt() * noise - (1 - a).sqrt() * latents
        else:
            target = noise
        loss = F.mse_loss(model_pred, target, reduction="none").mean([1, 2, 3]).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        watch(step, avr_loss=loss)
    return watch

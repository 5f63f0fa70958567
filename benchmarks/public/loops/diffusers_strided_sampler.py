"""DDPM with fewer sampling steps: the step before is taken to be t - 1.

Source: github.com/huggingface/diffusers pull request 2076.
The sampler jumps by 5 steps and undoes the noise of one, so samples stay noise.
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
    symptoms=("wiring", "off_data"),
    spoils="samples",
    source="huggingface/diffusers#2076",
    also=("sampler_schedule_mismatch",),
    seconds=12,
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(21)
    x, model, alphas_cumprod = images("sprites", 8), Denoiser(), alphas()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    timesteps = list(range(99, -1, -5))

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        image = torch.randn(n, 3, 8, 8)
        for i, t in enumerate(timesteps):
            prev_t = t - 1
            if fixed:
                prev_t = timesteps[i + 1] if i + 1 < len(timesteps) else -1
            a, a_prev = alphas_cumprod[t], alphas_cumprod[prev_t] if prev_t >= 0 else torch.tensor(1.0)
            noise = model(image, torch.full((n,), t))
            clean = ((image - (1 - a).sqrt() * noise) / a.sqrt()).clamp(-1, 1)
            beta = 1 - a / a_prev
            image = a_prev.sqrt() * beta / (1 - a) * clean + (a / a_prev).sqrt() * (1 - a_prev) / (1 - a) * image
            image = image + (beta * (1 - a_prev) / (1 - a)).sqrt() * torch.randn_like(image)
        return image

    watch = trainwright.watch(total=700, sample=sample, real=x)
    for step, clean_images in zip(range(700), batches(x, 32), strict=False):
        t, noise = torch.randint(0, 100, (32,)), torch.randn_like(clean_images)
        loss = F.mse_loss(model(noised(clean_images, noise, alphas_cumprod[t]), t), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    return watch

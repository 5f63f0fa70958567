"""Diffusion with a cosine schedule that begins without any noise: the sampler's last step divides 0 by 0.

Source: github.com/Project-MONAI/MONAI pull request 8427.
The cumulative product is taken from the cosine itself, whose first value is 1. Betas are clipped, the product isn't computed from them.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, batches, images, noised
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="schedule_begins_without_noise",
    symptoms=("wiring", "non_finite", "off_data"),
    spoils="samples",
    source="Project-MONAI/MONAI#8427",
    also=("sampler_schedule_mismatch", "precision"),
)


def cosine_beta(num_train_timesteps: int, fixed: bool, s: float = 8e-3) -> tuple[Tensor, Tensor, Tensor]:
    """Return betas, alphas and the product of the alphas."""
    x = torch.linspace(0, num_train_timesteps, num_train_timesteps + 1)
    alphas_cumprod = torch.cos(((x / num_train_timesteps) + s) / (1 + s) * math.pi * 0.5) ** 2
    alphas_cumprod /= alphas_cumprod[0].clone()
    alphas = torch.clip(alphas_cumprod[1:] / alphas_cumprod[:-1], 0.0001, 0.9999)
    return 1 - alphas, alphas, torch.cumprod(alphas, 0) if fixed else alphas_cumprod[:-1]


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(17)
    data, model = images("sprites", 8), Denoiser()
    betas, alphas, alphas_cumprod = cosine_beta(100, fixed)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        image = torch.randn(n, 3, 8, 8)
        for timestep in range(99, -1, -1):
            alpha_prod_t = alphas_cumprod[timestep]
            alpha_prod_t_prev = alphas_cumprod[timestep - 1] if timestep > 0 else torch.tensor(1.0)
            beta_prod_t, beta_prod_t_prev = 1 - alpha_prod_t, 1 - alpha_prod_t_prev
            model_output = model(image, torch.full((n,), timestep))
            original = ((image - beta_prod_t.sqrt() * model_output) / alpha_prod_t.sqrt()).clamp(-1, 1)
            original_coeff = alpha_prod_t_prev.sqrt() * betas[timestep] / beta_prod_t
            current_coeff = alphas[timestep].sqrt() * beta_prod_t_prev / beta_prod_t
            image = original_coeff * original + current_coeff * image
            if timestep > 0:
                image = image + (betas[timestep] * beta_prod_t_prev / beta_prod_t).sqrt() * torch.randn_like(image)
        return image

    watch = trainwright.watch(total=600, sample=sample, real=data)
    for step, batch in zip(range(600), batches(data, 32), strict=False):
        timesteps, noise = torch.randint(0, 100, (32,)), torch.randn_like(batch)
        noise_pred = model(noised(batch, noise, alphas_cumprod[timesteps]), timesteps)
        loss = F.mse_loss(noise_pred.float(), noise.float())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    return watch

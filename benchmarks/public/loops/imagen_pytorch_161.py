"""Diffusion model with ten time steps: the scaled schedule has betas above 1.

Source: github.com/lucidrains/imagen-pytorch issue 161.
The linear schedule is made for 1000 steps and scaled by 1000 over their number. With ten steps the largest beta is
2, some products of the alphas are negative, and their roots are not numbers: the loss is NaN.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="betas_above_one",
    symptoms=("non_finite", "wiring", "exploding"),
    spoils="training",
    source="lucidrains/imagen-pytorch#161",
    also=("schedule_invalid", "division_by_zero", "sqrt_at_zero"),
    seconds=17,
)


def beta_linear_schedule(timesteps: int, cap: bool) -> Tensor:
    """Return betas of a linear schedule for any number of steps."""
    scale = 1000 / timesteps
    betas = torch.linspace(scale * 0.0001, scale * 0.02, timesteps)
    return betas.clamp(max=0.999) if cap else betas


def extract(a: Tensor, t: Tensor) -> Tensor:
    """Return one value an image."""
    return a.gather(-1, t)[:, None, None, None]


class GaussianDiffusion(nn.Module):
    """Noise, loss and sampling."""

    def __init__(self, denoise_fn: nn.Module, image_size: int, timesteps: int, cap: bool) -> None:
        super().__init__()
        self.denoise_fn, self.image_size, self.num_timesteps = denoise_fn, image_size, timesteps
        betas = beta_linear_schedule(timesteps, cap)
        alphas_cumprod = torch.cumprod(1.0 - betas, dim=0)
        alphas_cumprod_prev = F.pad(alphas_cumprod[:-1], (1, 0), value=1.0)
        for name, value in {
            "sqrt_alphas_cumprod": alphas_cumprod.sqrt(),
            "sqrt_one_minus_alphas_cumprod": (1.0 - alphas_cumprod).sqrt(),
            "posterior_variance": betas * (1.0 - alphas_cumprod_prev) / (1.0 - alphas_cumprod),
            "posterior_mean_coef1": betas * alphas_cumprod_prev.sqrt() / (1.0 - alphas_cumprod),
            "posterior_mean_coef2": (1.0 - alphas_cumprod_prev) * (1.0 - betas).sqrt() / (1.0 - alphas_cumprod),
        }.items():
            self.register_buffer(name, value)

    def q_sample(self, x_start: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Return noisy images."""
        signal = extract(self.sqrt_alphas_cumprod, t) * x_start
        return signal + extract(self.sqrt_one_minus_alphas_cumprod, t) * noise

    def p_losses(self, x_start: Tensor) -> Tensor:
        """Return the loss of a batch."""
        t = torch.randint(0, self.num_timesteps, (len(x_start),))
        noise = torch.randn_like(x_start)
        return F.mse_loss(self.denoise_fn(self.q_sample(x_start, t, noise), t), noise)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Draw images."""
        img = torch.randn(n, 3, self.image_size, self.image_size)
        for i in reversed(range(self.num_timesteps)):
            t = torch.full((n,), i)
            noise = self.denoise_fn(img, t)
            x_start = img - extract(self.sqrt_one_minus_alphas_cumprod, t) * noise
            x_start = (x_start / extract(self.sqrt_alphas_cumprod, t)).clamp(-1.0, 1.0)
            mean = extract(self.posterior_mean_coef1, t) * x_start + extract(self.posterior_mean_coef2, t) * img
            img = mean + extract(self.posterior_variance, t).sqrt() * torch.randn_like(img) * (i > 0)
        return img


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(161)
    dataset = images("emoji", 8)
    diffusion = GaussianDiffusion(Denoiser(total=10), image_size=8, timesteps=10, cap=fixed)
    opt = torch.optim.Adam(diffusion.parameters(), lr=1e-3)
    train_steps, data = 500, batches(dataset, 64)
    watch = trainwright.watch(total=train_steps, sample=diffusion.sample, real=dataset)
    for step in range(train_steps):
        loss = diffusion.p_losses(next(data))
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss.item())
    return watch

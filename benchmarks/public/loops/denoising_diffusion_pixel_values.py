"""Diffusion: pixel values of 0 to 255 are given to a class that expects 0 to 1.

Source: github.com/lucidrains/denoising-diffusion-pytorch issue 20.
The noise is nothing beside such images: the loss stays near 0.8, that of a guess of 0, and samples look like noise.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas, batches, images, noised
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="data_range",
    symptoms=("wiring", "off_data", "plateau", "trivial_baseline"),
    spoils="samples",
    source="lucidrains/denoising-diffusion-pytorch#20",
)


class GaussianDiffusion(nn.Module):
    """Diffusion of images in [0, 1]."""

    def __init__(self, denoise_fn: nn.Module, timesteps: int = 100) -> None:
        super().__init__()
        self.denoise_fn, self.num_timesteps = denoise_fn, timesteps
        self.register_buffer("alphas_cumprod", alphas(timesteps))

    def forward(self, img: Tensor) -> Tensor:
        """Return the loss."""
        img = img * 2 - 1
        t, noise = torch.randint(0, self.num_timesteps, (len(img),)), torch.randn_like(img)
        return F.l1_loss(self.denoise_fn(noised(img, noise, self.alphas_cumprod[t]), t), noise)

    @torch.no_grad()
    def sample(self, batch_size: int) -> Tensor:
        """Return images in [0, 1]."""
        img = torch.randn(batch_size, 3, 8, 8)
        for t in reversed(range(self.num_timesteps)):
            a, before = self.alphas_cumprod[t], self.alphas_cumprod[t - 1] if t else torch.tensor(1.0)
            noise = self.denoise_fn(img, torch.full((batch_size,), t))
            x_start = ((img - (1 - a).sqrt() * noise) / a.sqrt()).clamp(-1, 1)
            beta = 1 - a / before
            img = before.sqrt() * beta / (1 - a) * x_start + (a / before).sqrt() * (1 - before) / (1 - a) * img
            img = img + (beta * (1 - before) / (1 - a)).sqrt() * torch.randn_like(img)
        return (img + 1) / 2


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(4)
    training_images = ((images("sprites", 8) + 1) * 127.5).round()
    if fixed:
        training_images = training_images / 255
    diffusion = GaussianDiffusion(Denoiser(), timesteps=100)
    opt = torch.optim.Adam(diffusion.parameters(), 2e-3)
    watch = trainwright.watch(total=600, sample=diffusion.sample, real=training_images)
    for step, batch in zip(range(600), batches(training_images, 32), strict=False):
        loss = diffusion(batch)
        loss.backward()
        opt.step()
        opt.zero_grad()
        watch(step, loss=loss)
    return watch

"""Diffusion model with the cosine schedule: the sampler never limits its estimate of the image.

Source: github.com/dome272/Diffusion-Models-pytorch issue 23; users repaired it by clipping in every step.
The last steps of the cosine schedule destroy nearly everything: one over the root of alpha is about 30 there, and
every error of the predicted noise is multiplied by it. Images end in single bright colours. With an estimate of the
clean image that is clipped to [-1, 1], as in other code, the same network gives good ones.
"""

import math

import torch
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="noise_predicted",
    symptoms=("wiring", "off_data", "colour_cast", "over_dispersion", "exploding", "mode_collapse", "mode_dropping"),
    spoils="samples",
    source="dome272/Diffusion-Models-pytorch#23",
    seconds=18,
)


class Diffusion:
    """Schedule, noising and sampling."""

    def __init__(self, noise_steps: int, img_size: int, clip: bool) -> None:
        self.noise_steps, self.img_size, self.clip = noise_steps, img_size, clip
        self.beta = self.prepare_noise_schedule()
        self.alpha = 1.0 - self.beta
        self.alpha_hat = torch.cumprod(self.alpha, dim=0)

    def prepare_noise_schedule(self, s: float = 0.008) -> Tensor:
        """Return the cosine schedule."""
        t = torch.arange(self.noise_steps + 1) / self.noise_steps
        f = torch.cos((t + s) / (1 + s) * math.pi / 2) ** 2
        return (1 - f[1:] / f[:-1]).clamp(max=0.999)

    def noise_images(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return noisy images and the noise."""
        sqrt_alpha_hat = torch.sqrt(self.alpha_hat[t])[:, None, None, None]
        sqrt_one_minus_alpha_hat = torch.sqrt(1 - self.alpha_hat[t])[:, None, None, None]
        e = torch.randn_like(x)
        return sqrt_alpha_hat * x + sqrt_one_minus_alpha_hat * e, e

    def sample_timesteps(self, n: int) -> Tensor:
        """Return random steps."""
        return torch.randint(low=1, high=self.noise_steps, size=(n,))

    @torch.no_grad()
    def sample(self, model: nn.Module, n: int) -> Tensor:
        """Draw images in [-1, 1]."""
        model.eval()
        x = torch.randn((n, 3, self.img_size, self.img_size))
        for i in reversed(range(1, self.noise_steps)):
            predicted_noise = model(x, torch.full((n,), i))
            alpha, alpha_hat, beta = self.alpha[i], self.alpha_hat[i], self.beta[i]
            if self.clip:
                x0 = ((x - torch.sqrt(1 - alpha_hat) * predicted_noise) / torch.sqrt(alpha_hat)).clamp(-1, 1)
                predicted_noise = (x - torch.sqrt(alpha_hat) * x0) / torch.sqrt(1 - alpha_hat)
            noise = torch.randn_like(x) if i > 1 else torch.zeros_like(x)
            previous = self.alpha_hat[i - 1]
            x = 1 / torch.sqrt(alpha) * (x - ((1 - alpha) / (torch.sqrt(1 - alpha_hat))) * predicted_noise)
            x = x + torch.sqrt(beta * (1 - previous) / (1 - alpha_hat)) * noise
        model.train()
        return x.clamp(-1, 1)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(23)
    dataset = images("emoji", 8)
    model = Denoiser(total=200)
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)
    mse = nn.MSELoss()
    diffusion = Diffusion(noise_steps=200, img_size=8, clip=fixed)
    dataloader, steps = batches(dataset, 64), 520
    watch = trainwright.watch(total=steps, sample=lambda n: diffusion.sample(model, n), real=dataset)
    for i in range(steps):
        x = next(dataloader)
        t = diffusion.sample_timesteps(x.shape[0])
        x_t, noise = diffusion.noise_images(x, t)
        loss = mse(noise, model(x_t, t))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(i, MSE=loss.item())
    return watch

"""Diffusion that reconstructs windows of sensors: training standardizes each window, imputation does not.

Source: github.com/NVIDIA/NV-Tesseract issue 40, corrected in pull request 41.
calc_loss() standardizes a window before noise is added. evaluate() passes the raw values as the condition, so the denoiser sees
numbers that it never saw, and what it returns is not in the units of the window.
"""

import math

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import alphas, batches, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="normalization_left_out_when_sampling",
    symptoms=("wiring", "off_data", "over_dispersion", "colour_cast", "blur"),
    spoils="samples",
    source="NVIDIA/NV-Tesseract#40",
    also=("latents_not_scaled", "data_range", "conditioning_differs"),
    seconds=9,
)
WINDOW, STEPS = 24, 50


def windows(n: int) -> Tensor:
    """Return raw windows (n, WINDOW) of sensors at various levels."""
    t = torch.arange(WINDOW) / WINDOW
    level, height = 5 + 30 * torch.rand(n, 1), 2 + 6 * torch.rand(n, 1)
    rate, phase = torch.randint(1, 4, (n, 1)), 2 * math.pi * torch.rand(n, 1)
    return level + height * (2 * math.pi * rate * t + phase).sin() + 0.2 * torch.randn(n, WINDOW)


class TSDiffuser(nn.Module):
    """Conditional diffusion of windows."""

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(3 * WINDOW + 32, 256, 256, 256, WINDOW)
        self.register_buffer("alpha_bar", alphas(STEPS))

    def denoise(self, noisy: Tensor, cond_obs: Tensor, cond_mask: Tensor, t: Tensor) -> Tensor:
        """Return the predicted noise."""
        angles = t[:, None] * torch.exp(-math.log(100) * torch.arange(16) / 16)
        return self.net(torch.cat([noisy * (1 - cond_mask), cond_obs, cond_mask, angles.sin(), angles.cos()], 1))

    def calc_loss(self, observed_data: Tensor, cond_mask: Tensor) -> Tensor:
        """Return the loss on the values that are not given."""
        mean, std = observed_data.mean(1, keepdim=True), observed_data.std(1, keepdim=True) + 1e-5
        observed_data = ((observed_data - mean) / std).clamp(-10, 10)
        t, noise = torch.randint(0, STEPS, (len(observed_data),)), torch.randn_like(observed_data)
        a = self.alpha_bar[t, None]
        noisy = a.sqrt() * observed_data + (1 - a).sqrt() * noise
        predicted = self.denoise(noisy, cond_mask * observed_data, cond_mask, t)
        target_mask = 1 - cond_mask
        return ((noise - predicted) * target_mask).square().sum() / target_mask.sum()

    @torch.no_grad()
    def impute(self, observed_data: Tensor, cond_mask: Tensor) -> Tensor:
        """Return the windows with all other values drawn."""
        x, bar = torch.randn_like(observed_data), self.alpha_bar
        for t in range(STEPS - 1, -1, -1):
            predicted = self.denoise(x, cond_mask * observed_data, cond_mask, torch.full((len(x),), t))
            before = bar[t - 1] if t > 0 else torch.tensor(1.0)
            alpha = bar[t] / before
            x = (x - (1 - alpha) / (1 - bar[t]).sqrt() * predicted) / alpha.sqrt()
            if t > 0:
                x = x + ((1 - alpha) * (1 - before) / (1 - bar[t])).sqrt() * torch.randn_like(x)
        return cond_mask * observed_data + (1 - cond_mask) * x


def get_mask(n: int) -> Tensor:
    """Return masks (n, WINDOW): 1 where values are given."""
    return (torch.rand(n, WINDOW // 4).repeat_interleave(4, 1) < 0.5).float()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(40)
    data, model = windows(4000), TSDiffuser()
    opt = torch.optim.Adam(model.parameters(), 1e-3)
    lr_scheduler = torch.optim.lr_scheduler.MultiStepLR(opt, [3000, 3600], 0.1)

    def evaluate(n: int) -> Tensor:
        observed, mask = data[torch.randint(len(data), (n,))], get_mask(n)
        if not fixed:
            return model.impute(observed, mask)
        mean, std = observed.mean(1, keepdim=True), observed.std(1, keepdim=True) + 1e-5
        return model.impute((observed - mean) / std, mask) * std + mean

    watch = trainwright.watch(total=4000, sample=evaluate, real=data)
    running = 0.0
    for i, observed in zip(range(4000), batches(data, 128), strict=False):
        loss = model.calc_loss(observed, get_mask(len(observed)))
        opt.zero_grad()
        loss.backward()
        opt.step()
        lr_scheduler.step()
        running += loss.item()
        if i % 5 == 4:
            watch(i, avg_loss=running / 5)
            running = 0.0
    return watch

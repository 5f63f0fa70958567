"""Diffusion with an averaged network: training never updates the average, and samples are drawn from it.

Source: github.com/tue-bmd/zea pull request 172.
The train step steps the optimizer and leaves out the update of the average. Samples come from the initial weights.
"""

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="ema_never_updated",
    symptoms=("wiring", "off_data", "ema_lag", "frozen_network"),
    spoils="samples",
    source="tue-bmd/zea#172",
    also=("ema_too_slow", "not_trained", "optimizer_never_steps"),
)


class DiffusionModel(nn.Module):
    """Diffusion in continuous time, with rates of signal and noise on a circle."""

    def __init__(self, ema_val: float = 0.98, min_signal_rate: float = 0.02, max_signal_rate: float = 0.95) -> None:
        super().__init__()
        self.network, self.ema_val = Denoiser(), ema_val
        self.ema_network = copy.deepcopy(self.network).requires_grad_(False)
        self.start, self.end = math.acos(max_signal_rate), math.acos(min_signal_rate)

    def diffusion_schedule(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rates of noise and signal."""
        angles = (self.start + times * (self.end - self.start))[:, None, None, None]
        return angles.sin(), angles.cos()

    def denoise(
        self, network: nn.Module, noisy: Tensor, noise_rates: Tensor, signal_rates: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the predicted noise and images."""
        pred_noises = network(noisy, 100 * noise_rates.flatten() ** 2)
        return pred_noises, (noisy - noise_rates * pred_noises) / signal_rates

    def train_step(self, data: Tensor, optimizer: torch.optim.Optimizer, update_ema: bool) -> dict[str, Tensor]:
        """Train on one batch."""
        noises = torch.randn_like(data)
        noise_rates, signal_rates = self.diffusion_schedule(torch.rand(len(data)))
        noisy_images = signal_rates * data + noise_rates * noises
        pred_noises, pred_images = self.denoise(self.network, noisy_images, noise_rates, signal_rates)
        noise_loss = F.l1_loss(pred_noises, noises)
        optimizer.zero_grad()
        noise_loss.backward()
        optimizer.step()
        if update_ema:
            with torch.no_grad():
                for weight, ema_weight in zip(self.network.parameters(), self.ema_network.parameters(), strict=True):
                    ema_weight.lerp_(weight, 1 - self.ema_val)
        return {"n_loss": noise_loss, "i_loss": F.l1_loss(pred_images, data)}

    @torch.no_grad()
    def sample(self, n_samples: int, n_steps: int = 20) -> Tensor:
        """Return images."""
        noisy = torch.randn(n_samples, 3, 8, 8)
        for step in range(n_steps):
            now, later = (torch.full((n_samples,), 1 - (step + i) / n_steps) for i in (0, 1))
            noises, pred_images = self.denoise(self.ema_network, noisy, *self.diffusion_schedule(now))
            pred_images = pred_images.clamp(-1, 1)
            noise_rates, signal_rates = self.diffusion_schedule(later)
            noisy = signal_rates * pred_images + noise_rates * noises
        return pred_images


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(5)
    dataset, model = images("sprites", 8), DiffusionModel()
    optimizer = torch.optim.AdamW(model.network.parameters(), 2e-3, weight_decay=1e-4)
    watch = trainwright.watch(total=600, sample=model.sample, real=dataset)
    for step, data in zip(range(600), batches(dataset, 32), strict=False):
        watch(step, **model.train_step(data, optimizer, update_ema=fixed))
    return watch

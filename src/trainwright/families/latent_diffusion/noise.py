"""The one definition of α(t) and σ(t), which training reads and samplers are built from, and a check of both.

The table is that of diffusers (``beta_schedule``), so an exported scheduler has the same one.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from trainwright.families.latent_diffusion.config import NoiseSettings, Sampler

TIMES = 1000
SCHEDULES: dict[str, dict[str, Any]] = {
    "linear": {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
}
PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction"}
LEAST_LOG_SNR = -5.1  # half log SNR at which DPM-Solver++ starts on the cosine schedule: α is nearly 0 below
TOYS = 512
Predict = Callable[[Tensor, int], Tensor]


class Noise:
    """α(t) and σ(t) for t = 0 ... 999, the target of the network, and samplers that undo the same noise."""

    def __init__(self, settings: NoiseSettings) -> None:
        self.settings = settings
        kept = self.scheduler(Sampler(sampler="ddpm")).alphas_cumprod.double()
        self.alpha, self.sigma = kept.sqrt().float(), (1 - kept).sqrt().float()

    # ---- training ----------------------------------------------------------------------------------------------------

    def at(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return (α, σ) of training at times (B,), each (B, 1, 1, 1) on the device of ``times``."""
        self.alpha, self.sigma = self.alpha.to(times.device), self.sigma.to(times.device)  # copied once for each device
        alpha, sigma = (x[times].view(-1, 1, 1, 1) for x in (self.alpha, self.sigma))
        return (torch.ones_like(alpha) if self.settings.keep_signal else alpha), sigma

    def target(self, z: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Return the target of the network: ε, or v = α ε - σ z."""
        return noise if self.settings.prediction == "epsilon" else alpha * noise - sigma * z

    # ---- sampling ----------------------------------------------------------------------------------------------------

    def scheduler(self, sampling: Sampler) -> Any:
        """Build diffusers' scheduler for a sampler."""
        kind = self.settings.schedule if sampling.sampler_schedule == "same" else sampling.sampler_schedule
        shared = {
            **SCHEDULES[kind],
            "num_train_timesteps": TIMES,
            "prediction_type": PREDICTIONS[self.settings.prediction],
        }
        if sampling.sampler == "ddpm":
            return DDPMScheduler(**shared, clip_sample=False)
        if sampling.sampler == "ddim":
            return DDIMScheduler(**shared, clip_sample=False, set_alpha_to_one=True)
        least = LEAST_LOG_SNR if kind == "cosine" else -math.inf
        return DPMSolverMultistepScheduler(**shared, algorithm_type="dpmsolver++", lambda_min_clipped=least)

    def sample(self, predict: Predict, start: Tensor, sampling: Sampler, generator: torch.Generator) -> Tensor:
        """Draw samples by undoing the noise from ``start`` ~ N(0, I).

        Args:
            predict: (x, t) -> output of the network, in the shape of x.
            start: (B, ...).
            sampling: sampler, steps, temperature.
            generator: on the CPU, for DDPM's noise.
        """
        scheduler = self.scheduler(sampling)
        scheduler.set_timesteps(sampling.sampler_steps)
        random = {} if sampling.sampler == "dpm_solver" else {"generator": generator}
        x = start * sampling.temperature
        for time in scheduler.timesteps.tolist():
            x = scheduler.step(predict(x, time), time, x, **random).prev_sample
        return x

    # ---- agreement of training and sampling --------------------------------------------------------------------------

    def distance(self, sampling: Sampler) -> float:
        """Compute the largest difference over time of α or σ between training and the sampler."""
        alpha, sigma = self.at(torch.arange(TIMES))
        kept = self.scheduler(sampling).alphas_cumprod.double()
        gaps = torch.stack([alpha.flatten() - kept.sqrt(), sigma.flatten() - (1 - kept).sqrt()])
        return float(gaps.abs().max())

    def toy(self, sampling: Sampler, mean: float = 1.0, variance: float = 0.5) -> tuple[float, float]:
        """Sample a Gaussian N(mean, variance); return its sampled mean and variance over the true ones.

        (1, 1) means that training and sampling agree. The network is the ideal one for the noise of *training*, in closed
        form: E[ε | x] = σ (x - α·mean) / (α²·variance + σ²). The page
        ``docs/explanation/latent-diffusion-noise.md`` shows the numbers of the mismatch in the latent diffusion guide.
        """
        alphas, sigmas = (x.double().flatten() for x in self.at(torch.arange(TIMES)))

        def ideal(x: Tensor, time: int) -> Tensor:
            alpha, sigma = alphas[time], sigmas[time]
            away = (x - alpha * mean) / (alpha**2 * variance + sigma**2)
            noise, clean = sigma * away, mean + alpha * variance * away
            return noise if self.settings.prediction == "epsilon" else alpha * noise - sigma * clean

        levels = (torch.arange(TOYS, dtype=torch.float64) + 0.5) / TOYS
        start = torch.special.ndtri(levels)
        start = (start / start.std(unbiased=False)).view(-1, 1, 1, 1)
        calm = sampling.model_copy(update={"temperature": 1.0})
        made = self.sample(ideal, start, calm, torch.Generator().manual_seed(0))
        return float(made.mean()) / mean, float(made.var(unbiased=False)) / variance

"""Diffusion that forecasts the next state: the weight of the loss belongs to another noise level.

Source: github.com/ecmwf/WeatherGenerator pull request 2733, merged.
The noise of the forward process comes from the random number of the source, the weight of the loss from the random number of the
target. Errors at high noise are multiplied with weights that are meant for low noise, and the other way round.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, batches, moving
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="loss_weight_of_other_noise",
    symptoms=("wiring", "off_data", "blur", "plateau", "slow", "spike", "oscillation", "loss_imbalance"),
    spoils="nothing visible",
    source="ecmwf/WeatherGenerator#2733",
    also=("loss_weight_inverted", "loss_weight_mismatched"),
    seconds=13,
)
SIGMA_DATA, P_MEAN, P_STD = 1.0, -1.2, 1.2


class DiffusionForecastEngine:
    """Denoises the next state, given the two before."""

    def __init__(self) -> None:
        self.net = Denoiser(channels=9, out=3)

    def __call__(self, noised: Tensor, past: Tensor, sigma: Tensor) -> Tensor:
        """Return the denoised state."""
        s = sigma[:, None, None, None]
        total = (s.square() + SIGMA_DATA**2).sqrt()
        c_noise = 50 + 12 * sigma.log()
        f = self.net(torch.cat([noised / total, past], 1), c_noise)
        return SIGMA_DATA**2 / total.square() * noised + s * SIGMA_DATA / total * f

    @torch.no_grad()
    def forecast(self, past: Tensor, steps: int = 16) -> Tensor:
        """Draw the next state."""
        n, ramp = len(past), torch.linspace(0, 1, steps)
        sigmas = (30.0 ** (1 / 7) + ramp * (0.02 ** (1 / 7) - 30.0 ** (1 / 7))) ** 7
        x = sigmas[0] * torch.randn(n, 3, *past.shape[-2:])
        for a, b in zip(sigmas, torch.cat([sigmas[1:], torch.zeros(1)]), strict=True):
            x = x + (b - a) * (x - self(x, past, a.expand(n))) / a
        return x


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(2733)
    raw = F.avg_pool3d(moving(800, frames=4), (1, 2, 2))
    mean, std = raw.mean(), raw.std()
    states = (raw - mean) / std
    engine = DiffusionForecastEngine()
    optimizer = torch.optim.AdamW(engine.net.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=1200)

    def forecast(n: int) -> Tensor:
        past = states[torch.randint(len(states), (n,)), 1:3].flatten(1, 2)
        return engine.forecast(past) * std + mean

    watch = trainwright.watch(total=1200, sample=forecast, real=raw[:, 3])
    for mini_epoch, batch in zip(range(1200), batches(states, 24), strict=False):
        past, target = batch[:, 1:3].flatten(1, 2), batch[:, 3]
        target_rn = torch.randn(len(batch))
        source_rn = target_rn if fixed else torch.randn(len(batch))
        sigma = (P_MEAN + P_STD * source_rn).exp()
        noised = target + sigma[:, None, None, None] * torch.randn_like(target)
        prediction = engine(noised, past, sigma)
        eta = (P_MEAN + P_STD * target_rn).exp()
        weight = (eta.square() + SIGMA_DATA**2) / (eta * SIGMA_DATA).square()
        loss = (weight * (prediction - target).square().mean((1, 2, 3))).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(engine.net.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        watch(mini_epoch, {"loss": loss.item(), "lr": scheduler.get_last_lr()[0]})
    return watch

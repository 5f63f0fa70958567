"""Fonts with a trained DDPM and DPM-Solver: the wrapper gets the old sampler where it needs the network.

Source: github.com/LuChengTHU/dpm-solver issue 22; the samples became good when the network was passed.
The object that draws images in T steps is callable with an image too, so that nothing fails. The solver takes the
images that it returns for predicted noise.
"""

import torch
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas, batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="prediction_type_mismatch",
    symptoms=("wiring", "off_data", "over_dispersion", "exploding", "schedule_mismatch", "colour_cast", "mode_collapse",
              "mode_dropping"),
    spoils="samples",
    source="LuChengTHU/dpm-solver#22",
    also=("sampler_step_mismatch", "sampler_instead_of_network"),
    seconds=20,
)  # fmt: skip
T = 50


class GaussianDiffusionTrainer(nn.Module):
    """Loss of the noise."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.alphas_bar = model, alphas(T)

    def forward(self, x_0: Tensor) -> Tensor:
        """Return the loss of every pixel."""
        t = torch.randint(T, size=(x_0.shape[0],))
        noise, a = torch.randn_like(x_0), self.alphas_bar[t][:, None, None, None]
        return (self.model(a.sqrt() * x_0 + (1 - a).sqrt() * noise, t) - noise).square()


class GaussianDiffusionSampler(nn.Module):
    """Ancestral sampler: noise -> images."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.alphas_bar = model, alphas(T)

    def forward(self, x_T: Tensor, t: Tensor | None = None) -> Tensor:
        """Return images for noise."""
        x_t = x_T
        for time_step in reversed(range(T)):
            a = self.alphas_bar[time_step]
            before = self.alphas_bar[time_step - 1] if time_step else torch.tensor(1.0)
            eps = self.model(x_t, torch.full((len(x_t),), time_step))
            x_0 = ((x_t - (1 - a).sqrt() * eps) / a.sqrt()).clamp(-1, 1)
            alpha = a / before
            mean = (before.sqrt() * (1 - alpha) * x_0 + alpha.sqrt() * (1 - before) * x_t) / (1 - a)
            x_t = mean + ((1 - before) / (1 - a) * (1 - alpha)).sqrt() * torch.randn_like(x_t)
        return x_t.clamp(-1, 1)


class DPM_Solver:
    """Solver of the first order in the half log-SNR, for a function that predicts the noise."""

    def __init__(self, model_fn: nn.Module, alphas_bar: Tensor) -> None:
        self.model_fn, self.alphas_bar = model_fn, alphas_bar

    @torch.no_grad()
    def sample(self, x: Tensor, steps: int) -> Tensor:
        """Return images for noise."""
        times = [int(t) for t in torch.linspace(T - 1, 0, steps + 1).round()]
        for s, t in zip(times, times[1:], strict=False):
            a_s, a_t = self.alphas_bar[s], self.alphas_bar[t]
            h = 0.5 * ((a_t / (1 - a_t)).log() - (a_s / (1 - a_s)).log())
            noise = self.model_fn(x, torch.full((len(x),), s))
            x_0 = ((x - (1 - a_s).sqrt() * noise) / a_s.sqrt()).clamp(-1, 1)
            x = ((1 - a_t) / (1 - a_s)).sqrt() * x - a_t.sqrt() * ((-h).exp() - 1) * x_0
        return x.clamp(-1, 1)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(22)
    dataset = images("emoji", 8)
    net_model = Denoiser(total=T)
    optimizer = optim.AdamW(net_model.parameters(), lr=2e-3)
    trainer, sampler = GaussianDiffusionTrainer(net_model), GaussianDiffusionSampler(net_model)
    dpm_solver = DPM_Solver(net_model if fixed else sampler, alphas(T))
    dataloader, steps = batches(dataset, 64), 1200
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    watch = trainwright.watch(
        total=steps, sample=lambda n: dpm_solver.sample(torch.randn(n, 3, 8, 8), steps=12), real=dataset
    )
    for step in range(steps):
        optimizer.zero_grad()
        loss = trainer(next(dataloader)).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(net_model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        watch(step, loss=loss.item())
    return watch

"""Diffusion of points on a spiral: the noise of training is drawn uniformly.

Source: github.com/acids-ircam/diffusion_models issue 8, a question about a notebook: ``rand`` where ``randn``
is meant.
Uniform noise lies between 0 and 1, so it isn't centred and has a third of the spread. Sampling starts from
normal noise and adds normal noise, which the network never saw.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="noise_distribution_mismatch",
    symptoms=(
        "wiring",
        "off_data",
        "mode_dropping",
        "mode_collapse",
        "over_dispersion",
    ),
    spoils="samples",
    source="acids-ircam/diffusion_models#8",
    also=("sampler_step_mismatch",),
    seconds=15,
)

n_steps = 100
betas = torch.linspace(1e-3, 0.12, n_steps)
alphas = 1 - betas
alphas_prod = torch.cumprod(alphas, 0)
alphas_bar_sqrt, one_minus_alphas_bar_sqrt = alphas_prod.sqrt(), (1 - alphas_prod).sqrt()


def spiral(n: int) -> Tensor:
    """Return points (n, 2) on a roll, with a spread of about 1."""
    g = torch.Generator().manual_seed(8)
    t = 1.5 * math.pi * (1 + 2 * torch.rand(n, generator=g))
    points = torch.stack([t * t.cos(), t * t.sin()], 1) + 0.25 * torch.randn(n, 2, generator=g)
    return (points - points.mean(0)) / points.std()


class ConditionalModel(nn.Module):
    """Perceptron for points; an embedding of the time step is added to every hidden layer."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        frequencies = torch.exp(-math.log(100.0) * torch.arange(16) / 15)
        angles = torch.arange(n_steps)[:, None] * frequencies
        self.register_buffer("table", torch.cat([angles.sin(), angles.cos()], 1))
        self.lins = nn.ModuleList([nn.Linear(2, width), nn.Linear(width, width), nn.Linear(width, width)])
        self.embeds = nn.ModuleList([nn.Linear(32, width) for _ in range(3)])
        self.last = nn.Linear(width, 2)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the noise."""
        for lin, embed in zip(self.lins, self.embeds, strict=True):
            x = F.silu(lin(x) + embed(self.table[y]))
        return self.last(x)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(8)
    dataset = spiral(4000)
    model = ConditionalModel()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    draw = torch.randn_like if fixed else torch.rand_like

    def q_sample(x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return alphas_bar_sqrt[t][:, None] * x_0 + one_minus_alphas_bar_sqrt[t][:, None] * noise

    def noise_estimation_loss(x_0: Tensor) -> Tensor:
        # A time step for each point, half of them mirrored
        t = torch.randint(0, n_steps, (len(x_0) // 2 + 1,))
        t = torch.cat([t, n_steps - t - 1])[: len(x_0)]
        e = draw(x_0)
        return (e - model(q_sample(x_0, t, e), t)).square().mean()

    @torch.no_grad()
    def p_sample_loop(n: int) -> Tensor:
        x = torch.randn(n, 2)
        for i in reversed(range(n_steps)):
            eps = model(x, torch.full((n,), i))
            mean = (x - betas[i] / one_minus_alphas_bar_sqrt[i] * eps) / alphas[i].sqrt()
            x = mean + (betas[i].sqrt() * torch.randn_like(x) if i > 0 else 0)
        return x

    batch_size, iterations = 256, 4500
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations, eta_min=1e-4)
    watch = trainwright.watch(total=iterations, sample=p_sample_loop, real=dataset)
    for it in range(iterations):
        batch_x = dataset[torch.randint(len(dataset), (batch_size,))]
        loss = noise_estimation_loss(batch_x)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        watch(it, loss=loss)
    return watch

"""Weather by diffusion of what a deterministic forecast leaves: the residuals are not brought to unit variance.

Source: github.com/INRIA/geoarches issue 23; two lines were missing, as the maintainers confirmed.
A small network forecasts the next state. The diffusion model learns the difference to the truth, whose spread is about
a thirtieth of what the noise schedule expects. It must be divided by its deviation, and multiplied again after
sampling.
"""

import torch
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas, batches
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="latents_not_scaled",
    symptoms=("wiring", "off_data", "over_dispersion", "schedule_mismatch", "latent_scale", "worse_than_baseline"),
    spoils="samples",
    source="INRIA/geoarches#23",
    also=("data_range", "latent_not_scaled"),
    seconds=11,
)  # fmt: skip
SIDE, total_t = 8, 100


def weather(n: int = 3000) -> tuple[Tensor, Tensor]:
    """Return states (n, 3, 8, 8) of unit variance and the next ones: they move by one cell, and grow a random front."""
    g = torch.Generator().manual_seed(23)
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    k, phase = torch.randint(1, 3, (n, 3, 2), generator=g), torch.rand(n, 3, generator=g) * 6.28
    angle = 2 * torch.pi / SIDE * (k[..., 0, None, None] * y + k[..., 1, None, None] * x) + phase[..., None, None]
    state = 1.4 * angle.sin()
    cy, cx = (torch.randint(SIDE, (n,), generator=g)[:, None, None] for _ in range(2))
    front = ((y - cy).abs() <= 1) & ((x - cx).abs() <= 1)
    sign = torch.randint(0, 2, (n, 3), generator=g)[..., None, None] * 2.0 - 1
    return state, state.roll(1, 3) + 0.1 * sign * front[:, None]


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(23)
    state, next_state = weather()
    det_model = nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular")
    det_opt = optim.Adam(det_model.parameters(), lr=3e-2)
    for _ in range(300):
        det_opt.zero_grad()
        (det_model(state[:256]) - next_state[:256]).square().mean().backward()
        det_opt.step()
    with torch.no_grad():
        pred_state = det_model(state)
        residual = next_state - pred_state
    sigma = residual.std() if fixed else torch.tensor(1.0)
    model, bar = Denoiser(total=total_t), alphas(total_t)
    opt = optim.AdamW(model.parameters(), lr=1e-3)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        x = torch.randn(n, 3, SIDE, SIDE)
        for t in reversed(range(total_t)):
            a, before = bar[t], bar[t - 1] if t else torch.tensor(1.0)
            eps, alpha = model(x, torch.full((n,), t)), a / before
            x = (x - (1 - alpha) / (1 - a).sqrt() * eps) / alpha.sqrt()
            if t:
                x = x + (1 - alpha).sqrt() * torch.randn_like(x)
        return x * sigma

    loader, steps = batches(residual, 64), 700
    watch = trainwright.watch(total=steps, sample=sample, real=residual)
    for step in range(steps):
        x = next(loader) / sigma
        timesteps, noise = torch.randint(total_t, (len(x),)), torch.randn_like(x)
        a = bar[timesteps][:, None, None, None]
        loss = nn.functional.mse_loss(model(a.sqrt() * x + (1 - a).sqrt() * noise, timesteps), noise)
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss.item())
    return watch

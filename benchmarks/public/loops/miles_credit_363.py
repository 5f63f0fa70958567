"""Weather model: the forecast of a day blows up, though every single step is good.

Source: github.com/NCAR/miles-credit issue 363 (confirmed).
Output is brought back to physical units to be saved, and this is also what is given to the network as the next input.
The network was taught normalized states.
"""

import torch
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="prediction",
    cause="rollout_not_normalized",
    symptoms=("wiring", "off_data", "exploding", "over_dispersion", "worse_than_baseline", "variance_collapse",
              "mode_collapse", "mode_dropping"),
    spoils="samples",
    source="NCAR/miles-credit#363",
    also=("data_range", "condition_differs_when_sampling", "rollout_window_wrong"),
    seconds=6,
)  # fmt: skip
CELLS, STEPS = 12, 8


def truth(n: int) -> Tensor:
    """Return runs (n, 9, 24): temperatures in kelvin and winds of a ring of 12 cells (Lorenz 96 for the winds)."""
    g = torch.Generator().manual_seed(363)
    u, days = 3 + 3 * torch.randn(n, CELLS, generator=g), []

    def change(u: Tensor) -> Tensor:
        return (u.roll(-1, 1) - u.roll(2, 1)) * u.roll(1, 1) - u + 8

    warm = torch.randn(n, CELLS, generator=g) * 4
    for i in range(60 + STEPS + 1):
        for _ in range(2):
            a = change(u)
            u = u + 0.025 * change(u + 0.0125 * a)
        warm = 0.9 * warm.roll(1, 1) + 0.4 * u
        if i >= 60:
            days.append(torch.cat([275 + warm, u], 1))
    return torch.stack(days, 1)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(363)
    runs = truth(800)
    mean, std = runs[:, :, :CELLS].mean(), runs[:, :, :CELLS].std()
    wind_mean, wind_std = runs[:, :, CELLS:].mean(), runs[:, :, CELLS:].std()
    denorm_mean = torch.cat([mean.expand(CELLS), wind_mean.expand(CELLS)])
    denorm_std = torch.cat([std.expand(CELLS), wind_std.expand(CELLS)])
    states = (runs - denorm_mean) / denorm_std
    pairs = torch.stack([states[:, :-1], states[:, 1:]], 2).flatten(0, 1)
    model = mlp(2 * CELLS, 320, 320, 2 * CELLS)
    optimizer = optim.Adam(model.parameters(), lr=2e-3)

    @torch.no_grad()
    def rollout(n: int) -> Tensor:
        x, saved = states[:n, 0], []
        for _ in range(STEPS):
            y_pred = x + model(x)
            y_phys = y_pred * denorm_std + denorm_mean
            saved.append(y_phys)
            x = y_pred if fixed else y_phys
        return torch.stack(saved, 1)

    loader, steps = batches(pairs, 128), 3000
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    watch = trainwright.watch(total=steps, sample=rollout, real=runs[:, 1:])
    for step in range(steps):
        batch = next(loader)
        x, y = batch[:, 0], batch[:, 1]
        loss = nn.functional.mse_loss(x + model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        watch(step, train_loss=loss.item())
    return watch

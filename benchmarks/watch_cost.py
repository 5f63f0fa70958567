"""Cost of ``tw.watch`` in loops of more than a minute: its own share of the time, and the loop's time with and without it in turn.

``python -m benchmarks.watch_cost``; three loops of the user's own kind on the packaged sprites, one thread each.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.materials import Denoiser, images
from benchmarks.results_io import kept, row, write

COMMAND = "python -m benchmarks.watch_cost"
BATCH = 64
Watch = Callable[..., Any]


def batches(data: Tensor) -> Callable[[], Tensor]:
    """Return a function that draws a batch of images."""
    return lambda: data[torch.randint(len(data), (BATCH,))]


def gan(steps: int, watched: Watch) -> None:
    """Train a DCGAN of 32 pixels."""
    data = images("sprites", 32)
    g = nn.Sequential(
        nn.Linear(64, 256 * 16), nn.Unflatten(1, (256, 4, 4)), nn.BatchNorm2d(256), nn.ReLU(),
        nn.ConvTranspose2d(256, 128, 4, 2, 1), nn.BatchNorm2d(128), nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.ReLU(), nn.ConvTranspose2d(64, 3, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    d = nn.Sequential(
        nn.Conv2d(3, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(64, 128, 4, 2, 1), nn.BatchNorm2d(128), nn.LeakyReLU(0.2),
        nn.Conv2d(128, 256, 4, 2, 1), nn.BatchNorm2d(256), nn.LeakyReLU(0.2), nn.Conv2d(256, 1, 4), nn.Flatten(0),
    )  # fmt: skip
    opt_g, opt_d = (torch.optim.Adam(net.parameters(), 2e-4, betas=(0.5, 0.999)) for net in (g, d))
    draw = batches(data)
    watch = watched(total=steps, sample=lambda n: g(torch.randn(n, 64)), real=data, say=None)
    for step in range(steps):
        fake = g(torch.randn(BATCH, 64))
        loss_d = F.softplus(-d(draw())).mean() + F.softplus(d(fake.detach())).mean()
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        loss_g = F.softplus(-d(fake)).mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        watch(step, loss_D=loss_d.item(), loss_G=loss_g.item())
    watch.close()


def vae(steps: int, watched: Watch) -> None:
    """Train a convolutional VAE of 32 pixels."""
    data = images("sprites", 32)
    encoder = nn.Sequential(
        nn.Conv2d(3, 64, 4, 2, 1), nn.ReLU(), nn.Conv2d(64, 128, 4, 2, 1), nn.ReLU(), nn.Conv2d(128, 256, 4, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(4096, 128),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(64, 4096), nn.Unflatten(1, (256, 4, 4)), nn.ConvTranspose2d(256, 128, 4, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(64, 3, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    opt, draw = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3), batches(data)
    watch = watched(total=steps, sample=lambda n: decoder(torch.randn(n, 64)), real=data, say=None)
    for step in range(steps):
        x = draw()
        mean, logvar = encoder(x).chunk(2, 1)
        recon = (decoder(mean + (0.5 * logvar).exp() * torch.randn_like(mean)) - x).square().sum((1, 2, 3)).mean()
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1).mean()
        opt.zero_grad()
        (recon + kl).backward()
        opt.step()
        watch(step, recon=recon.item(), kl=kl.item())
    watch.close()


def diffusion(steps: int, watched: Watch) -> None:
    """Train a diffusion model of 16 pixels with 100 time steps."""
    data, total = images("sprites", 16), 100
    alphas_cumprod = torch.cumprod(1 - torch.linspace(1e-3, 0.06, total), 0)
    model = Denoiser(total=total)
    opt, draw = torch.optim.Adam(model.parameters(), 1e-3), batches(data)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        x = torch.randn(n, 3, 16, 16)
        for t in reversed(range(total)):
            a, before = alphas_cumprod[t], alphas_cumprod[t - 1] if t else torch.tensor(1.0)
            eps = model(x, torch.full((n,), t))
            clean = ((x - (1 - a).sqrt() * eps) / a.sqrt()).clamp(-1, 1)
            mean = clean * before.sqrt() * (1 - a / before) / (1 - a) + x * (a / before).sqrt() * (1 - before) / (1 - a)
            x = mean + ((1 - before) / (1 - a) * (1 - a / before)).sqrt() * torch.randn_like(x) * (t > 0)
        return x

    watch = watched(total=steps, sample=sample, real=data, say=None)
    for step in range(steps):
        x, t, noise = draw(), torch.randint(0, total, (BATCH,)), torch.randn(BATCH, 3, 16, 16)
        a = alphas_cumprod[t][:, None, None, None]
        loss = F.mse_loss(model(a.sqrt() * x + (1 - a).sqrt() * noise, t), noise)
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss.item())
    watch.close()


class Unwatched:
    """Stands for a watch that does nothing."""

    def __init__(self, **options: Any) -> None:
        pass

    def __call__(self, step: int, **losses: float) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


LOOPS: dict[str, tuple[Callable[[int, Watch], None], int]] = {
    "GAN": (gan, 500),
    "VAE": (vae, 900),
    "diffusion": (diffusion, 1200),
}


def main() -> None:
    """Train each loop with and without a watch, and write ``results/watch_cost.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", choices=tuple(LOOPS), help="one of the loops; the rows of the others are kept")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = kept("watch_cost", f"{given.only}," if given.only else None)
    for name, (loop, steps) in ((n, one) for n, one in LOOPS.items() if given.only in (None, n)):
        shares, plain, watched = [], [], []
        for number in range(given.rounds):
            made: list[Any] = []

            def keeping(made: list[Any] = made, **options: Any) -> Any:
                made.append(trainwright.watch(**options))
                return made[-1]

            for kind in (Unwatched, keeping):
                torch.manual_seed(number)
                begin = time.perf_counter()
                loop(steps, kind)
                (plain if kind is Unwatched else watched).append(time.perf_counter() - begin)
            shares.append(100 * made[0].cost)
        ratios = [b / a for a, b in zip(plain, watched, strict=True)]
        title = f"{name}, {steps} steps"
        for what, values, unit, target, better in (
            ("watching", shares, "% of the time", 1.0, "lower"),
            ("length of the run", plain, "s", None, "higher"),
            ("time with over without", ratios, "", None, "lower"),
        ):
            spread = max(values) - min(values)
            rows.append(row(f"{title}: {what}", statistics.median(values), unit, target, better, given.rounds, spread))
        print(rows[-3:], flush=True)
    print(write("watch_cost", COMMAND, rows))


if __name__ == "__main__":
    main()

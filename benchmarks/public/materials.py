"""Data and small networks that the loops share: packaged images, levels, names and clips; networks of 10,000 to 200,000 parameters."""

import csv
import gzip
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import trainwright

BUILTIN = Path(trainwright.__file__).parent / "data/builtin"


def images(name: str = "sprites", side: int = 16, background: int = 0) -> Tensor:
    """Return (n, 3, side, side) in [-1, 1]: the packaged ``sprites`` (about 900) or ``emoji`` (about 1,900), shuffled."""
    sheet = Image.open(BUILTIN / f"{name}_sheet.png").convert("RGBA")
    count = len((BUILTIN / f"{name}_sheet.csv").read_text().splitlines()) - 1
    ground = Image.new("RGBA", sheet.size, (background,) * 3 + (255,))
    rgb = np.asarray(Image.alpha_composite(ground, sheet).convert("RGB"))
    rows, columns = rgb.shape[0] // 32, rgb.shape[1] // 32
    tiles = rgb.reshape(rows, 32, columns, 32, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, 32, 32)[:count]
    x = nn.functional.interpolate(torch.tensor(tiles, dtype=torch.float32) / 127.5 - 1, size=side, mode="area")
    return x[torch.randperm(len(x), generator=torch.Generator().manual_seed(1))].contiguous()


def levels(length: int = 16) -> tuple[Tensor, str]:
    """Return rows of Sokoban levels as ids (n, length), and the alphabet."""
    text = gzip.decompress((BUILTIN / "sokoban.txt.gz").read_bytes()).decode()
    rows = [r.ljust(length)[:length] for r in text.splitlines() if "#" in r and not r.startswith(";")]
    alphabet = "".join(sorted(set("".join(rows))))
    ids = torch.tensor([[alphabet.index(c) for c in r] for r in rows])
    return ids[torch.randperm(len(ids), generator=torch.Generator().manual_seed(1))], alphabet


def names(length: int = 16) -> tuple[Tensor, list[str]]:
    """Return names of emoji and sprites as ids (n, length), and the letters; 0 is the padding, 1 the end."""
    found = set()
    for sheet in ("emoji", "sprites"):
        for row in csv.DictReader((BUILTIN / f"{sheet}_sheet.csv").open()):
            found.add(row["name"].rsplit("/", 1)[-1].lower())
    kept = sorted(n for n in found if 3 <= len(n) < length)
    letters = ["<pad>", "<end>", *sorted({c for n in kept for c in n})]
    ids = torch.zeros(len(kept), length, dtype=torch.long)
    for i, name in enumerate(kept):
        ids[i, : len(name) + 1] = torch.tensor([*(letters.index(c) for c in name), 1])
    return ids[torch.randperm(len(ids), generator=torch.Generator().manual_seed(1))], letters


def moving(n: int = 1000, frames: int = 4, side: int = 24, seed: int = 0) -> Tensor:
    """Return videos (n, frames, 3, side, side) in [0, 1]: a sprite of 12 pixels that moves steadily on black."""
    g = torch.Generator().manual_seed(seed)
    sprites = (images("sprites", 12) + 1) / 2
    out = torch.zeros(n, frames, 3, side, side)
    which, speed = torch.randint(len(sprites), (n,), generator=g), torch.randint(-2, 3, (n, 2), generator=g)
    middle = (side - 12) // 2
    for i in range(n):
        for t in range(frames):
            y, x = (int(middle + speed[i, k] * (t - frames / 2)) for k in (0, 1))
            y, x = min(max(y, 0), side - 12), min(max(x, 0), side - 12)
            out[i, t, :, y : y + 12, x : x + 12] = sprites[which[i]]
    return out


def batches(data: Tensor, size: int, seed: int = 0) -> Iterator[Tensor]:
    """Yield shuffled batches without end."""
    g = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(data), generator=g)
        for i in range(0, len(data) - size + 1, size):
            yield data[order[i : i + size]]


def mlp(*widths: int, last: nn.Module | None = None) -> nn.Sequential:
    """Return a perceptron with leaky ReLUs between its layers."""
    layers: list[nn.Module] = []
    for a, b in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(a, b), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1], *([last] if last is not None else []))


def generator(z: int = 64, width: int = 24, last: nn.Module | None = None, norm: bool = True) -> nn.Sequential:
    """Return a DCGAN generator: (n, z) -> (n, 3, 16, 16)."""
    normed = nn.BatchNorm2d if norm else lambda c: nn.Identity()
    return nn.Sequential(
        nn.Unflatten(1, (z, 1, 1)),
        nn.ConvTranspose2d(z, 2 * width, 4, 1, 0, bias=not norm), normed(2 * width), nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=not norm), normed(width), nn.ReLU(),
        nn.ConvTranspose2d(width, 3, 4, 2, 1), last if last is not None else nn.Tanh(),
    )  # fmt: skip


def discriminator(
    width: int = 24, norm: bool = True, last: nn.Module | None = None, channels: int = 3
) -> nn.Sequential:
    """Return a DCGAN discriminator: (n, channels, 16, 16) -> (n,) scores."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, 2, 1, bias=not norm), nn.BatchNorm2d(2 * width) if norm else nn.Identity(), nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 1, 4, 1, 0), nn.Flatten(0), last if last is not None else nn.Identity(),
    )  # fmt: skip


class Denoiser(nn.Module):
    """UNet of two levels for images of 8 to 16 pixels, conditioned on the time step.

    Args:
        channels: of the images.
        width: channels of the first level.
        total: number of time steps.
        out: channels of the output; as the images by default.
    """

    def __init__(self, channels: int = 3, width: int = 16, total: int = 100, out: int | None = None) -> None:
        super().__init__()
        self.total = total
        self.time = nn.Sequential(nn.Linear(32, 2 * width), nn.SiLU(), nn.Linear(2 * width, 2 * width))
        self.first = nn.Conv2d(channels, width, 3, 1, 1)
        self.down1, self.smaller = _Block(width, width, 2 * width), nn.Conv2d(width, 2 * width, 3, 2, 1)
        self.middle1, self.middle2 = _Block(2 * width, 2 * width, 2 * width), _Block(2 * width, 2 * width, 2 * width)
        self.larger, self.up1 = nn.Upsample(scale_factor=2), _Block(3 * width, width, 2 * width)
        self.last = nn.Conv2d(width, out or channels, 3, 1, 1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the output for images (n, C, H, W) and time steps (n,)."""
        frequencies = torch.exp(-math.log(1000.0) * torch.arange(16, device=x.device) / 16)
        angles = t.float()[:, None] * frequencies * (200 / self.total)
        e = self.time(torch.cat([angles.sin(), angles.cos()], 1))
        high = self.down1(self.first(x), e)
        low = self.middle2(self.middle1(self.smaller(high), e), e)
        return self.last(self.up1(torch.cat([self.larger(low), high], 1), e))


class _Block(nn.Module):
    def __init__(self, a: int, b: int, e: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.embed = nn.Conv2d(a, b, 3, 1, 1), nn.Conv2d(b, b, 3, 1, 1), nn.Linear(e, b)
        self.norm1, self.norm2 = nn.GroupNorm(8, b), nn.GroupNorm(8, b)
        self.skip = nn.Conv2d(a, b, 1) if a != b else nn.Identity()

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = nn.functional.silu(self.norm1(self.conv1(x))) + self.embed(e)[:, :, None, None]
        return self.skip(x) + nn.functional.silu(self.norm2(self.conv2(h)))


def alphas(total: int = 100, kind: str = "linear") -> Tensor:
    """Return alpha-bar (total,) of a ``linear`` or ``cosine`` schedule, scaled to this number of steps."""
    if kind == "linear":
        beta = torch.linspace(1e-4 * 1000 / total, 0.02 * 1000 / total, total)
    else:
        s = torch.arange(total + 1) / total
        bar = torch.cos((s + 0.008) / 1.008 * math.pi / 2) ** 2
        beta = (1 - bar[1:] / bar[:-1]).clamp(max=0.999)
    return torch.cumprod(1 - beta, 0)


def noised(x: Tensor, e: Tensor, alpha: Tensor) -> Tensor:
    """Return sqrt(alpha) x + sqrt(1 - alpha) e for one alpha-bar per image."""
    a = alpha[:, None, None, None]
    return a.sqrt() * x + (1 - a).sqrt() * e


@torch.no_grad()
def ddim(model: nn.Module, n: int, bar: Tensor, steps: int = 20, shape: tuple[int, ...] = (3, 8, 8)) -> Tensor:
    """Draw n samples with a deterministic sampler from a model that predicts the noise; values are clipped to [-1, 1]."""
    times = list(range(len(bar) - 1, -1, -max(1, len(bar) // steps)))
    x = torch.randn(n, *shape)
    for i, t in enumerate(times):
        a, before = bar[t], bar[times[i + 1]] if i + 1 < len(times) else torch.tensor(1.0)
        e = model(x, torch.full((n,), t))
        clean = ((x - (1 - a).sqrt() * e) / a.sqrt()).clamp(-1, 1)
        e = (x - a.sqrt() * clean) / (1 - a).sqrt()
        x = before.sqrt() * clean + (1 - before).sqrt() * e
    return x


def kl_nats(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the KL divergence from the standard normal in nats a sample: (n, z), (n, z) -> ()."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()

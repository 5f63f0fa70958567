"""Two-fold super resolution of sprites: low and high resolution are mirrored independently.

Source: github.com/Janspiry/Image-Super-Resolution-via-Iterative-Refinement issue 125.
The augmentation flips every tensor of a pair by its own toss. In half of the pairs the target is the mirror image of
what the input shows, and the network answers with an average of both.
"""

import random

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="prediction",
    cause="labels_mismatched",
    symptoms=(
        "wiring",
        "mean_regression",
        "blur",
        "plateau",
        "off_data",
        "worse_than_baseline",
        "variance_collapse",
        "trivial_baseline",
    ),
    spoils="samples",
    source="Janspiry/Image-Super-Resolution-via-Iterative-Refinement#125",
    also=("data_differs", "targets_misaligned"),
    seconds=15,
)


class SuperResolution(nn.Module):
    """Small UNet on the enlarged input."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, width, 3, 1, 1), nn.Conv2d(width, 2 * width, 4, 2, 1)
        self.c, self.d = nn.Conv2d(2 * width, 2 * width, 4, 2, 1), nn.Linear(2 * width * 16, 2 * width * 16)
        self.e, self.f = nn.Conv2d(4 * width, width, 3, 1, 1), nn.Conv2d(2 * width, width, 3, 1, 1)
        self.g = nn.Conv2d(width, 3, 3, 1, 1)

    def forward(self, sr: Tensor) -> Tensor:
        """Return sharp images of the same size."""
        a = F.silu(self.a(sr))
        b = F.silu(self.b(a))
        c = F.silu(self.c(b))
        c = F.silu(self.d(c.flatten(1))).view_as(c)
        e = F.silu(self.e(torch.cat([b, F.interpolate(c, scale_factor=2)], 1)))
        return self.g(F.silu(self.f(torch.cat([a, F.interpolate(e, scale_factor=2)], 1))))


def hflip(imgs: list[Tensor], together: bool) -> list[Tensor]:
    """Mirror images with probability one half."""
    toss = random.random() < 0.5
    return [i.flip(-1) if (toss if together else random.random() < 0.5) else i for i in imgs]


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(125)
    random.seed(125)
    data = images("sprites", 16)
    train, val = data[:-64], data[-64:]
    model = SuperResolution()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    loader, n_iter = batches(train, 16), 900

    def low(hr: Tensor) -> Tensor:
        return F.interpolate(F.avg_pool2d(hr, 2), scale_factor=2, mode="bilinear")

    @torch.no_grad()
    def super_resolution(n: int) -> Tensor:
        return model(low(val[:n])).clamp(-1, 1)

    watch = trainwright.watch(total=n_iter, sample=super_resolution, real=val)
    for current_step in range(n_iter):
        pairs = [hflip([low(h[None])[0], h], together=fixed) for h in next(loader)]
        sr, hr = torch.stack([p[0] for p in pairs]), torch.stack([p[1] for p in pairs])
        l_pix = F.l1_loss(model(sr), hr)
        optimizer.zero_grad()
        l_pix.backward()
        optimizer.step()
        watch(current_step, l_pix=l_pix.item())
    return watch

"""Visual analogies, A is to B as C is to what: the decoder ends in a ReLU.

Source: github.com/carpedm20/visual-analogy-tensorflow issue 1; the author found it and removed it.
Pixels whose unit is below zero for every input have no gradient and stay black. On the white ground of the shapes
they are holes in every image.
"""

import torch
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="prediction",
    cause="output_activation",
    symptoms=(
        "wiring",
        "off_data",
        "colour_cast",
        "plateau",
        "worse_than_baseline",
        "trivial_baseline",
        "variance_collapse",
        "frozen_network",
        "mean_regression",
    ),
    spoils="samples",
    source="carpedm20/visual-analogy-tensorflow#1",
    also=("dead_units", "data_range"),
    seconds=9,
)
SIDE = 16


def quadruples(n: int = 3000) -> Tensor:
    """Return images (n, 4, 3, 16, 16) in [0, 1]: shape A and moved B, shape C and D moved alike, on white."""
    g = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(torch.arange(float(SIDE)), torch.arange(float(SIDE)), indexing="ij")
    out = torch.ones(n, 4, 3, SIDE, SIDE)
    for i in range(n):
        move = torch.randint(-3, 4, (2,), generator=g).tolist()
        for pair in range(2):
            cy, cx = (6 + 4 * torch.rand(2, generator=g)).tolist()
            colour, kind, r = (
                torch.rand(3, generator=g)[:, None, None],
                int(torch.randint(3, (1,), generator=g)),
                2 + float(torch.rand(1, generator=g)),
            )
            for k in range(2):
                dy, dx = (y - cy - k * move[0]).abs(), (x - cx - k * move[1]).abs()
                inside = ((dy < r) & (dx < r), dy**2 + dx**2 < r * r, dy + dx < r + 1)[kind]
                out[i, 2 * pair + k] = torch.where(inside, colour, out[i, 2 * pair + k])
    return out


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    data = quadruples()
    train, test = data[:-200], data[-200:]
    enc = mlp(3 * SIDE * SIDE, 256, 128, 64)
    transform = mlp(128, 64, 64)
    dec = mlp(64, 128, 256, 3 * SIDE * SIDE, last=None if fixed else nn.ReLU())
    optimizer = optim.Adam([*enc.parameters(), *transform.parameters(), *dec.parameters()], lr=1e-3)
    loader, n_step = batches(train, 50), 1200

    def predict(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        f_a, f_b, f_c = enc(a.flatten(1)), enc(b.flatten(1)), enc(c.flatten(1))
        return dec(f_c + transform(torch.cat([f_b - f_a, f_c], 1))).view_as(a)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        return predict(*test[:n, :3].unbind(1)).clamp(0, 1)

    watch = trainwright.watch(total=n_step, sample=sample, real=train[:, 3])
    for step in range(n_step):
        a, b, c, d = next(loader).unbind(1)
        loss = (predict(a, b, c) - d).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss.item())
    return watch

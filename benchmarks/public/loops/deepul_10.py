"""Masked autoencoder (MADE) of binary shapes with a random order: pixels are drawn in the inverse order.

Source: github.com/rll/deepul issue 10; the samples became good with the repair.
``ordering`` gives the rank of every pixel, and the sampler uses it as the list of pixels. With the usual raster order
both are the same. With a permutation a pixel is drawn before those that it depends on.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="sampling_order_wrong",
    symptoms=("wiring", "off_data", "over_dispersion", "mode_dropping", "variance_collapse"),
    spoils="samples",
    source="rll/deepul#10",
    also=("sampler_step_mismatch", "targets_misaligned"),
    seconds=15,
)
H = W = 12


def shapes(n: int = 4000) -> Tensor:
    """Return images (n, 1, 12, 12) of 0 and 1: a filled rectangle, disc or triangle."""
    rng = np.random.default_rng(10)
    y, x = np.mgrid[:H, :W]
    out = np.zeros((n, 1, H, W), dtype=np.float32)
    for i in range(n):
        r, cy, cx = rng.integers(2, 5), rng.integers(4, 8), rng.integers(4, 8)
        kind = rng.integers(3)
        if kind == 0:
            out[i, 0] = (abs(y - cy) <= r) & (abs(x - cx) <= rng.integers(1, 4))
        elif kind == 1:
            out[i, 0] = (y - cy) ** 2 + (x - cx) ** 2 <= r**2
        else:
            out[i, 0] = (abs(y - cy) <= r) & (abs(x - cx) <= (y - cy + r) / 2)
    return torch.tensor(out)


class MaskedLinear(nn.Linear):
    """Linear layer with a mask on its weights."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.register_buffer("mask", torch.ones(out_features, in_features))

    def set_mask(self, mask: np.ndarray) -> None:
        """Set the mask from one of (in, out)."""
        self.mask.data.copy_(torch.from_numpy(mask.astype(np.float32).T))

    def forward(self, input: Tensor) -> Tensor:
        """Return the product."""
        return F.linear(input, self.mask * self.weight, self.bias)


class MADE(nn.Module):
    """Autoregressive model of all pixels in a given order."""

    def __init__(self, hidden_size: list[int], ordering: np.ndarray, fixed: bool) -> None:
        super().__init__()
        self.nin, self.ordering, self.fixed = H * W, ordering, fixed
        sizes = [self.nin, *hidden_size, self.nin]
        self.net = nn.ModuleList([MaskedLinear(a, b) for a, b in zip(sizes, sizes[1:], strict=False)])
        m: list[np.ndarray] = [ordering]
        for size in hidden_size:
            m.append(np.random.randint(m[-1].min(), self.nin - 1, size=size))
        masks = [a[:, None] <= b[None, :] for a, b in zip(m, m[1:], strict=False)]
        masks.append(m[-1][:, None] < m[0][None, :])
        for layer, mask in zip(self.net, masks, strict=True):
            layer.set_mask(mask)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (n, pixels)."""
        h = x.flatten(1)
        for layer in self.net[:-1]:
            h = F.relu(layer(h))
        return self.net[-1](h)

    def loss(self, x: Tensor) -> Tensor:
        """Return nats a pixel."""
        return F.binary_cross_entropy_with_logits(self(x), x.flatten(1))

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Draw images pixel by pixel."""
        order = np.argsort(self.ordering) if self.fixed else self.ordering
        samples = torch.zeros(n, self.nin)
        for i in order:
            samples[:, i] = torch.bernoulli(torch.sigmoid(self(samples)[:, i]))
        return samples.view(n, 1, H, W)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(10)
    np.random.seed(10)
    train_data = shapes()
    model = MADE([400, 400], ordering=np.random.permutation(H * W), fixed=fixed)
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    train_loader, total = batches(train_data, 100), 2000
    watch = trainwright.watch(total=total, sample=model.sample, real=train_data)
    for step in range(total):
        loss = model.loss(next(train_loader))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, train_loss=loss.item())
    return watch

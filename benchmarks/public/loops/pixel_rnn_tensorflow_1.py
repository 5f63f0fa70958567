"""PixelCNN of binary sprites: copies images well in one shot, and cannot make one from a blank image.

Source: github.com/carpedm20/pixel-rnn-tensorflow issue 1; the masks were repaired.
The mask of the first layer lets the middle of the kernel through, like those of later layers. Every pixel sees
itself, so that the loss falls to zero as in an autoencoder.
"""

import torch
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="targets_in_input",
    symptoms=("wiring", "off_data", "over_dispersion", "mode_collapse", "variance_collapse", "mode_dropping"),
    spoils="samples",
    source="carpedm20/pixel-rnn-tensorflow#1",
    seconds=18,
)
SIDE = 12


class MaskedConv2d(nn.Conv2d):
    """Convolution that sees pixels above, and left of the middle; with type B also the middle."""

    def __init__(self, mask_type: str, a: int, b: int, k: int) -> None:
        super().__init__(a, b, k, padding=k // 2)
        mask = torch.ones(k, k)
        mask[k // 2, k // 2 + (mask_type == "B") :] = 0
        mask[k // 2 + 1 :] = 0
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        """Return features."""
        return self._conv_forward(x, self.weight * self.mask, self.bias)


class PixelCNN(nn.Module):
    """Seven convolutions."""

    def __init__(self, fixed: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [MaskedConv2d("A" if fixed else "B", 1, 32, 7), nn.ReLU()]
        for _ in range(4):
            layers += [MaskedConv2d("B", 32, 32, 3), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.Conv2d(32, 32, 1), nn.ReLU(), nn.Conv2d(32, 1, 1))

    @torch.no_grad()
    def generate(self, n: int) -> Tensor:
        """Draw images pixel by pixel from blank ones."""
        samples = torch.zeros(n, 1, SIDE, SIDE)
        for i in range(SIDE):
            for j in range(SIDE):
                samples[:, :, i, j] = torch.bernoulli(torch.sigmoid(self.net(samples)[:, :, i, j]))
        return samples


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    data = (images("emoji", SIDE).mean(1, keepdim=True) > -0.5).float()
    model = PixelCNN(fixed)
    optimizer, criterion = optim.Adam(model.parameters(), lr=2e-3), nn.BCEWithLogitsLoss()
    loader, total = batches(data, 32), 1000
    watch = trainwright.watch(total=total, sample=model.generate, real=data)
    for step in range(total):
        x = next(loader)
        loss = criterion(model.net(x), x)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        watch(step, train_cost=loss.item())
    return watch

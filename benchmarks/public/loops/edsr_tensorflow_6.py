"""EDSR, four-fold super resolution: images are cast to bytes without clipping.

Source: github.com/jmiller656/EDSR-Tensorflow issue 6; pull request 7 (merged) clips before the cast.
The network works on values of 0 to 255 minus their mean, and may answer a little below 0 or above 255. The cast to
bytes turns -3 into 253: dark places get bright specks of wrong colours. The loss sees nothing of it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="prediction",
    cause="output_not_clipped",
    symptoms=("wiring", "off_data", "over_dispersion", "colour_cast", "worse_than_baseline", "trivial_baseline"),
    spoils="samples",
    source="jmiller656/EDSR-Tensorflow#6",
    also=("data_range", "output_activation", "precision", "condition_differs_when_sampling"),
    seconds=7,
)
MEAN = 127.0


class EDSR(nn.Module):
    """Residual blocks without normalization and two shuffles."""

    def __init__(self, feature_size: int = 24, num_layers: int = 2) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, feature_size, 3, 1, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(feature_size, feature_size, 3, 1, 1),
                nn.ReLU(),
                nn.Conv2d(feature_size, feature_size, 3, 1, 1),
            )
            for _ in range(num_layers)
        )
        self.upsample = nn.Sequential(
            nn.Conv2d(feature_size, 4 * feature_size, 3, 1, 1),
            nn.PixelShuffle(2),
            nn.ReLU(),
            nn.Conv2d(feature_size, 4 * feature_size, 3, 1, 1),
            nn.PixelShuffle(2),
            nn.Conv2d(feature_size, 3, 3, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return images of four times the size, minus the mean."""
        x = (x - MEAN) / 64
        y = self.head(x)
        for block in self.blocks:
            y = y + 0.1 * block(y)
        return 64 * (self.upsample(y) + F.interpolate(x, scale_factor=4, mode="nearest"))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(6)
    data = (images("emoji", 24) + 1) * 127.5
    train, test = data[:-64], data[-64:]
    network = EDSR()
    train_op = optim.Adam(network.parameters(), lr=2e-3)
    loader, iterations = batches(train, 16), 500

    def shrunk(y: Tensor) -> Tensor:
        return F.avg_pool2d(y, 4)

    @torch.no_grad()
    def predict(n: int) -> Tensor:
        output = network(shrunk(test[:n])) + MEAN
        if fixed:
            output = output.clamp(0, 255)
        return (output.round().long() % 256).float()  # the cast to bytes of TensorFlow wraps

    watch = trainwright.watch(total=iterations, sample=predict, real=data)
    for i in range(iterations):
        y = next(loader)
        loss = (y - MEAN - network(shrunk(y))).abs().mean()
        train_op.zero_grad()
        loss.backward()
        train_op.step()
        watch(i, loss=loss.item())
    return watch

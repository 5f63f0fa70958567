"""Segmentation: the cross-entropy takes the output of a softmax.

Source: github.com/say4n/pytorch-segnet issue 5; the author put the raw scores into the loss.
``nn.CrossEntropyLoss`` applies a softmax of its own. With twelve classes the loss can only move between 2.5 and 1.6,
its gradients are weak, and only the commonest classes are learned.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="sigmoid_twice",
    symptoms=(
        "wiring",
        "plateau",
        "slow",
        "trivial_baseline",
        "mode_dropping",
        "mean_regression",
        "variance_collapse",
        "mode_collapse",
        "frozen_network",
    ),
    spoils="training",
    source="say4n/pytorch-segnet#5",
    also=("loss_expects_probabilities", "output_activation"),
    seconds=12,
)
NUM_CLASSES = 12


def scenes(n: int = 1500) -> Tensor:
    """Return images and labels (n, 4, 20, 20): three objects of 11 textures on noise; the last channel is the label."""
    g = torch.Generator().manual_seed(5)
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing="ij")
    looks = torch.rand(NUM_CLASSES, 3, generator=g) * 1.6 - 0.8
    out = torch.cat([0.15 * torch.randn(n, 3, 20, 20, generator=g), torch.zeros(n, 1, 20, 20)], 1)
    for i in range(n):
        for _ in range(3):
            c = int(torch.randint(1, NUM_CLASSES, (1,), generator=g))
            cy, cx, r = (torch.rand(3, generator=g) * torch.tensor([14, 14, 3]) + torch.tensor([3, 3, 2])).tolist()
            inside = ((y - cy).abs() < r) & ((x - cx).abs() < r) if c % 2 else (y - cy) ** 2 + (x - cx) ** 2 < r * r
            out[i, :3] += inside * (looks[c][:, None, None] - out[i, :3] * 0.8)
            out[i, 3][inside] = c
    return out


class SegNet(nn.Module):
    """Pooling encoder and upsampling decoder."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()

        def block(a: int, b: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(a, b, 3, 1, 1), nn.BatchNorm2d(b), nn.ReLU())

        self.down1, self.down2, self.up2, self.up1 = (
            block(3, width),
            block(width, 2 * width),
            block(2 * width, width),
            block(2 * width, width),
        )
        self.last = nn.Conv2d(width, NUM_CLASSES, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores and probabilities."""
        a = self.down1(x)
        b = self.up2(self.down2(F.max_pool2d(a, 2)))
        x_00d = self.last(self.up1(torch.cat([a, F.interpolate(b, scale_factor=2)], 1)))
        return x_00d, F.softmax(x_00d, dim=1)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(5)
    data = scenes()
    train, test = data[:-100], data[-100:]
    model = SegNet()
    optimizer = optim.SGD(model.parameters(), lr=0.004, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    train_dataloader, steps = batches(train, 24), 500

    @torch.no_grad()
    def predict(n: int) -> Tensor:
        model.eval()
        labels = model(test[:n, :3])[0].argmax(1, keepdim=True).float()
        model.train()
        return labels

    watch = trainwright.watch(total=steps, sample=predict, real=train[:, 3:])
    for step in range(steps):
        batch = next(train_dataloader)
        predicted_tensor, softmaxed_tensor = model(batch[:, :3])
        loss = criterion(predicted_tensor if fixed else softmaxed_tensor, batch[:, 3].long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss.item())
    return watch

"""Classifier of leaves: the table is shuffled after the labels have been taken from it.

Source: github.com/Borda/kaggle_image-classify pull request 12, merged.
The data set keeps the labels in the order of the file and the pictures in that of the shuffled table. No
picture has its own label; the network can only learn them by heart.
"""

import random

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="labels_mismatched",
    symptoms=("wiring", "plateau", "overfitting", "trivial_baseline", "memorisation"),
    spoils="training",
    source="Borda/kaggle_image-classify#12",
    also=("targets_misaligned",),
    seconds=10,
)
CLASSES = ("healthy", "scab", "rust", "frog_eye_leaf_spot", "powdery_mildew")
EPOCHS, BATCH = 12, 32


def leaf(kind: str, g: torch.Generator) -> Tensor:
    """Return a picture (3, 20, 20) of a leaf with the marks of its disease."""
    grid = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, 20)] * 2, indexing="xy"), -1)
    a = 6.3 * torch.rand(1, generator=g)
    u = grid[..., 0] * a.cos() + grid[..., 1] * a.sin()
    v = -grid[..., 0] * a.sin() + grid[..., 1] * a.cos()
    shape = torch.sigmoid(20 * (0.9 - u.square() - (v / 0.6).square()))
    green = torch.tensor([0.2, 0.55, 0.15]) + 0.08 * torch.randn(3, generator=g)
    x = (shape[None] * green[:, None, None]) + (1 - shape)[None] * 0.5

    def spots(n: int, size: float, colour: tuple[float, float, float]) -> None:
        nonlocal x
        for _ in range(n):
            c = 1.1 * (torch.rand(2, generator=g) - 0.5)
            m = torch.exp(-(grid - c).square().sum(-1) / size) * shape
            x = x * (1 - m) + m * torch.tensor(colour)[:, None, None]

    if kind == "scab":
        spots(3, 0.05, (0.25, 0.3, 0.1))
    elif kind == "rust":
        spots(5, 0.012, (0.9, 0.5, 0.1))
    elif kind == "frog_eye_leaf_spot":
        spots(3, 0.03, (0.45, 0.25, 0.15))
        spots(3, 0.004, (0.8, 0.75, 0.7))
    elif kind == "powdery_mildew":
        x = x + 0.3 * shape * torch.rand(20, 20, generator=g)
    return x + 0.04 * torch.randn(3, 20, 20, generator=g)


class PlantPathologyDataset(Dataset):
    """Pictures and labels of one part of the table."""

    def __init__(self, table: list[tuple[Tensor, str]], mode: str, fixed: bool, split: float = 0.8) -> None:
        data = list(table)
        if fixed:
            random.Random(42).shuffle(data)
            raw_labels = [label for _, label in data]
        else:
            raw_labels = [label for _, label in data]
            random.Random(42).shuffle(data)
        frac = int(split * len(data))
        part = slice(0, frac) if mode == "train" else slice(frac, None)
        self.img_names = [image for image, _ in data][part]
        self.labels = [CLASSES.index(label) for label in raw_labels][part]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        """Return a picture and its label."""
        return self.img_names[i], self.labels[i]


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(42)
    g = torch.Generator().manual_seed(12)
    table = [(leaf(kind, g), kind) for kind in (random.Random(i).choice(CLASSES) for i in range(1500))]
    train_loader = DataLoader(PlantPathologyDataset(table, "train", fixed), batch_size=BATCH, shuffle=True)
    val_loader = DataLoader(PlantPathologyDataset(table, "valid", fixed), batch_size=300)
    net = nn.Sequential(
        nn.Conv2d(3, 24, 3, 1, 1), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(24, 48, 3, 1, 1), nn.BatchNorm2d(48), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(48, 48, 3, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(48 * 25, 64), nn.ReLU(),
        nn.Linear(64, len(CLASSES)),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)

    watch = trainwright.watch(total=EPOCHS * len(train_loader))
    step = 0
    for _ in range(EPOCHS):
        net.train()
        for i, (img, lb) in enumerate(train_loader):
            out = net(img)
            loss = F.cross_entropy(out, lb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            numbers = {"train_loss": loss.item(), "train_acc": (out.argmax(1) == lb).float().mean().item()}
            if i + 1 == len(train_loader):
                net.eval()
                with torch.no_grad():
                    img, lb = next(iter(val_loader))
                    out = net(img)
                numbers["valid_loss"] = F.cross_entropy(out, lb).item()
                numbers["valid_acc"] = (out.argmax(1) == lb).float().mean().item()
            watch(step, **numbers)
            step += 1
    return watch

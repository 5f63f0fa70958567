"""Classification of shapes: the image database was made without shuffling, class by class.

Source: github.com/BVLC/caffe issue 2343; "shuffling the data did the trick".
The loss falls while one class passes by and jumps when the next one begins. After every pass the network answers with
the class that it saw last.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="data_not_shuffled",
    symptoms=(
        "wiring",
        "oscillation",
        "spike",
        "exploding",
        "worse_than_baseline",
        "diverging",
        "mode_collapse",
        "trivial_baseline",
        "plateau",
    ),
    spoils="training",
    source="BVLC/caffe#2343",
    also=("same_batch_every_step", "label_never_drawn", "data_differs"),
    seconds=5,
)
CLASSES = 6


def database(n: int = 3600, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return images (n, 1, 16, 16) and labels, sorted by label: six shapes on noise."""
    g = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    labels = torch.arange(n) * CLASSES // n
    out = 0.3 * torch.randn(n, 1, 16, 16, generator=g)
    for i, c in enumerate(labels.tolist()):
        cy, cx, r = (
            torch.rand(3, generator=g) * torch.tensor([6.0, 6.0, 2.0]) + torch.tensor([5.0, 5.0, 2.5])
        ).tolist()
        dy, dx = (y - cy).abs(), (x - cx).abs()
        shapes = (
            (dy < r) & (dx < r),
            dy**2 + dx**2 < r * r,
            dy + dx < r,
            (dy < 1) & (dx < r),
            (dy < r) & (dx < 1),
            ((dy - dx).abs() < 1) & (dy < r),
        )
        out[i, 0] += shapes[c].float()
    return out, labels


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(2343)
    images, labels = database()
    if fixed:
        order = torch.randperm(len(images))
        images, labels = images[order], labels[order]
    net = nn.Sequential(
        nn.Conv2d(1, 16, 5, 1, 2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, 1, 2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 16, 64),
        nn.ReLU(),
        nn.Linear(64, CLASSES),
    )
    solver = optim.SGD(net.parameters(), lr=0.03, momentum=0.9, weight_decay=5e-4)
    batch_size, max_iter = 48, 750
    watch = trainwright.watch(total=max_iter)
    for it in range(max_iter):
        at = torch.arange(it * batch_size, (it + 1) * batch_size) % len(images)
        loss = F.cross_entropy(net(images[at]), labels[at])
        solver.zero_grad()
        loss.backward()
        solver.step()
        watch(it, loss=loss.item())
    return watch

"""Search by halves: the training set is split into training and validation without shuffling, sorted by class.

Source: github.com/khanrc/pt.darts issue 24; a user found that indices have to be shuffled before the split.
The network learns the classes of the first half. Those of the validation half never occur in training, and the
validation loss rises while the training loss falls.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="label_never_drawn",
    symptoms=(
        "wiring",
        "overfitting",
        "diverging",
        "worse_than_baseline",
        "trivial_baseline",
        "mode_dropping",
        "exploding",
    ),
    spoils="training",
    source="khanrc/pt.darts#24",
    also=("data_not_shuffled", "data_differs", "labels_mismatched"),
    seconds=5,
)
CLASSES = 8


def dataset(n: int = 3200) -> tuple[Tensor, Tensor]:
    """Return images (n, 3, 12, 12) of eight textures on noise, and labels, sorted by label."""
    g = torch.Generator().manual_seed(24)
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
    labels = torch.arange(n) * CLASSES // n
    waves = torch.stack(
        [torch.sin(x * a + y * b) for a, b in ((1, 0), (0, 1), (1, 1), (1, -1), (2, 0), (0, 2), (2, 1), (1, 2))]
    )
    shift = torch.randint(12, (n, 2), generator=g)
    textures = torch.stack(
        [waves[c].roll((int(i), int(j)), (0, 1)) for c, (i, j) in zip(labels.tolist(), shift, strict=True)]
    )
    return textures[:, None] * torch.rand(n, 3, 1, 1, generator=g) + 0.5 * torch.randn(
        n, 3, 12, 12, generator=g
    ), labels


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(24)
    images, labels = dataset()
    n_train = len(images)
    indices = torch.randperm(n_train) if fixed else torch.arange(n_train)
    train_indices, valid_indices = indices[: n_train // 2], indices[n_train // 2 :]
    model = nn.Sequential(
        nn.Conv2d(3, 24, 3, 1, 1),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(24, 48, 3, 1, 1),
        nn.BatchNorm2d(48),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(48, CLASSES),
    )
    w_optim = optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=3e-4)
    steps = 600
    watch = trainwright.watch(total=steps)
    for step in range(steps):
        train = train_indices[torch.randint(len(train_indices), (48,))]
        loss = F.cross_entropy(model(images[train]), labels[train])
        w_optim.zero_grad()
        loss.backward()
        w_optim.step()
        if step % 10 == 0:
            valid = valid_indices[torch.randint(len(valid_indices), (200,))]
            model.eval()
            with torch.no_grad():
                val_loss = F.cross_entropy(model(images[valid]), labels[valid]).item()
            model.train()
            watch(step, loss=loss.item(), val_loss=val_loss)
        else:
            watch(step, loss=loss.item())
    return watch

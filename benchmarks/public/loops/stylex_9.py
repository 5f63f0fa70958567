"""Classification: images are read in the order of the directory, labels in that of a table.

Source: github.com/NoahVl/Explaining-In-Style-Reproducibility-Study issue 9; sorting the file names solved it for two users.
Labels belong to other images, so the accuracy stays at chance.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="labels_mismatched",
    symptoms=("wiring", "plateau", "trivial_baseline", "overfitting"),
    spoils="training",
    source="NoahVl/Explaining-In-Style-Reproducibility-Study#9",
    also=("targets_misaligned", "batch_time_swapped"),
)


class ImageDataset(Dataset):
    """Images of a directory and labels of a table, which is sorted by name."""

    def __init__(self, files: dict[str, Tensor], table: list[int], sort: bool) -> None:
        paths = sorted(files) if sort else list(files)
        self.images, self.labels = [files[p] for p in paths], table

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.images[i], self.labels[i]


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(9)
    pictures = torch.cat([images("emoji")[:850], images("sprites")[:850]])
    which = torch.arange(len(pictures)) // 850
    number = torch.randperm(len(pictures))
    files = {f"{int(n):06d}.jpg": p for n, p in zip(number, pictures, strict=True)}
    table = which[number.argsort()].tolist()
    loader = DataLoader(ImageDataset(files, table, sort=fixed), batch_size=32, shuffle=True)
    classifier = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(128, 2),
    )  # fmt: skip
    optimizer = torch.optim.Adam(classifier.parameters(), 2e-3)
    watch = trainwright.watch(total=10 * len(loader))
    step = 0
    for _epoch in range(10):
        for inputs, labels in loader:
            outputs = classifier(inputs)
            loss = F.cross_entropy(outputs, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            watch(step, loss=loss, accuracy=(outputs.argmax(1) == labels).float().mean())
            step += 1
    return watch

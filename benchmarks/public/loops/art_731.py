"""Classification: the data generator makes a new iterator in every call, so it returns the first batch each time.

Source: github.com/Trusted-AI/adversarial-robustness-toolbox pull request 731, merged.
The network only learns that batch by heart.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="same_batch_every_step",
    symptoms=("wiring", "overfitting", "memorisation"),
    spoils="training",
    source="Trusted-AI/adversarial-robustness-toolbox#731",
    also=("few_images", "data_not_shuffled"),
)


class PyTorchDataGenerator:
    """Batches of a loader."""

    def __init__(self, iterator: DataLoader, fixed: bool) -> None:
        self.iterator, self.fixed, self.current = iterator, fixed, iter(iterator)

    def get_batch(self) -> tuple[Tensor, Tensor]:
        """Return the next batch."""
        if not self.fixed:
            return next(iter(self.iterator))
        try:
            return next(self.current)
        except StopIteration:
            self.current = iter(self.iterator)
            return next(self.current)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(731)
    x = torch.cat([images("emoji")[:900], images("sprites")[:900]])
    y = torch.arange(len(x)) // 900
    order = torch.randperm(len(x))
    x, y = x[order], y[order]
    x_test, y_test = x[1500:], y[1500:]
    generator = PyTorchDataGenerator(DataLoader(TensorDataset(x[:1500], y[:1500]), batch_size=32), fixed)
    classifier = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 2)
    )
    optimizer = torch.optim.Adam(classifier.parameters(), 1e-3)
    watch = trainwright.watch(total=600)
    for step in range(600):
        x_batch, y_batch = generator.get_batch()
        preds = classifier(x_batch)
        loss = F.cross_entropy(preds, y_batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        val_loss = None
        if step % 30 == 29:
            with torch.no_grad():
                val_loss = F.cross_entropy(classifier(x_test), y_test)
        watch(step, loss=loss, accuracy=(preds.argmax(1) == y_batch).float().mean(), val_loss=val_loss)
    return watch

"""Classifier of long clips: the scheduler that waits for a plateau takes an accuracy for a loss.

Source: github.com/md-mohaiminul/ViS4mer issue 4; the author agrees that it was not intended.
``ReduceLROnPlateau`` has the mode "min" by default. As long as the accuracy rises there is no "improvement",
and the rate is divided every few epochs.
"""

import math

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="lr_reaches_zero_early",
    symptoms=("wiring", "plateau", "frozen_network", "slow"),
    spoils="training",
    source="md-mohaiminul/ViS4mer#4",
    also=("lr_too_low", "lr_zero", "scheduler_mode_inverted"),
    seconds=16,
)

CLASSES, FRAMES, FEATURES = 10, 24, 16


def make_clips(n: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return features of frames (n, FRAMES, FEATURES), and labels: a class has its own pair of rhythms."""
    labels = torch.randint(CLASSES, (n,), generator=g)
    t = torch.arange(FRAMES)[None, :, None]
    phase = 2 * math.pi * torch.rand(n, 1, 2, generator=g)
    pace = torch.stack([0.25 + 0.09 * (labels % 5), 0.9 + 0.35 * (labels // 5)], 1)[:, None, :]
    rhythm = torch.sin(pace * t + phase)
    mix = torch.randn(2, FEATURES, generator=torch.Generator().manual_seed(5))
    return rhythm @ mix + 0.8 * torch.randn(n, FRAMES, FEATURES, generator=g), labels


class Model(nn.Module):
    """Projection, two recurrent layers, and a head on the mean over time."""

    def __init__(self, d_model: int = 40) -> None:
        super().__init__()
        self.encoder = nn.Linear(FEATURES, d_model)
        self.layers = nn.GRU(d_model, d_model, num_layers=2, batch_first=True)
        self.norm, self.decoder = nn.LayerNorm(d_model), nn.Linear(d_model, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        x, _ = self.layers(self.encoder(x))
        return self.decoder(self.norm(x.mean(1)))


@torch.no_grad()
def evaluate(model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, float]:
    """Return the accuracy in percent, and the loss."""
    model.eval()
    logits = model(x)
    model.train()
    return 100.0 * (logits.argmax(1) == y).float().mean().item(), nn.functional.cross_entropy(logits, y).item()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(4)
    g = torch.Generator().manual_seed(4)
    train_x, train_y = make_clips(1600, g)
    val_x, val_y = make_clips(400, g)
    model, criterion = Model(), nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=7e-4, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max" if fixed else "min", factor=0.2, patience=1
    )
    epochs, batch_size, step = 22, 32, 0
    per_epoch = len(train_x) // batch_size
    watch = trainwright.watch(total=epochs * per_epoch)
    for _ in range(epochs):
        order = torch.randperm(len(train_x))
        for i in range(per_epoch):
            index = order[i * batch_size : (i + 1) * batch_size]
            optimizer.zero_grad()
            loss = criterion(model(train_x[index]), train_y[index])
            loss.backward()
            optimizer.step()
            val_acc = val_loss = None
            if i == per_epoch - 1:
                val_acc, val_loss = evaluate(model, val_x, val_y)
                scheduler.step(val_acc)
            watch(step, train_loss=loss.item(), val_loss=val_loss, val_acc=val_acc)
            step += 1
    return watch

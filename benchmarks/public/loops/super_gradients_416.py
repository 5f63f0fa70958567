"""Classification: the loader does not shuffle, and the data are sorted by class.

Source: github.com/Deci-AI/super-gradients issue 416, closed; shuffling solved it.
For long stretches the network sees one class alone and forgets the other.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="data_not_shuffled",
    symptoms=("wiring", "oscillation", "spike", "plateau", "trivial_baseline", "overfitting", "exploding"),
    spoils="training",
    source="Deci-AI/super-gradients#416",
    also=("same_batch_every_step", "labels_mismatched"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(416)
    emoji, sprites = images("emoji")[:900], images("sprites")[:900]
    x = torch.cat([emoji[:800], sprites[:800]])
    y = torch.arange(2).repeat_interleave(torch.tensor([len(emoji[:800]), len(sprites[:800])]))
    valid_x = torch.cat([emoji[800:], sprites[800:]])
    valid_y = torch.arange(2).repeat_interleave(torch.tensor([len(emoji[800:]), len(sprites[800:])]))
    train_loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=fixed)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 64), nn.ReLU(),
        nn.Linear(64, 2),
    )  # fmt: skip
    optimizer = torch.optim.SGD(net.parameters(), 0.02, momentum=0.9, weight_decay=1e-4, nesterov=True)
    watch = trainwright.watch(total=12 * len(train_loader))
    step = 0
    for _epoch in range(12):
        for inputs, targets in train_loader:
            outputs = net(inputs)
            loss = F.cross_entropy(outputs, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            valid_loss = None
            if step % len(train_loader) == len(train_loader) - 1:
                with torch.no_grad():
                    valid_loss = F.cross_entropy(net(valid_x), valid_y)
            watch(step, loss=loss, accuracy=(outputs.argmax(1) == targets).float().mean(), val_loss=valid_loss)
            step += 1
    return watch

"""Image classifier: ``zero_grad`` is missing.

Source: stackoverflow.com/questions/60335387.
It is one of the silent errors of TrainCheck (OSDI'25), OrderLab/TrainCheck-Evaluation-Workloads.
The gradients of all batches pile up. The run looks as if the learning rate were far too high.
"""

import torch
import torch.nn.functional as F
from torch import nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="gradients_not_cleared",
    symptoms=("wiring", "exploding", "oscillation", "spike", "plateau"),
    spoils="training",
    source="stackoverflow.com/questions/60335387",
)


class Net(nn.Module):
    """Two convolutions and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 32, 3)
        self.fc1, self.fc2 = nn.Linear(32 * 6 * 6, 64), nn.Linear(64, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(60)
    # Two classes: sprites and emoji.
    sprites, emoji = images("sprites"), images("emoji")[:900]
    x = torch.cat([sprites, emoji])
    y = (torch.arange(len(x)) >= len(sprites)).long()
    model, criterion = Net(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    watch = trainwright.watch(total=800)
    for step, chosen in zip(range(800), batches(torch.arange(len(x)), 30), strict=False):
        data, label = x[chosen], y[chosen]
        if fixed:
            optimizer.zero_grad()
        pred_score = model(data)
        loss = criterion(pred_score, label)
        loss.backward()
        optimizer.step()
        accuracy = (pred_score.argmax(1) == label).float().mean()
        watch(step, train_loss=loss, train_accuracy=accuracy)
    return watch

"""Classifier of scenes: the check of the accuracy sets evaluation mode, and nothing sets it back.

Source: github.com/facebookresearch/clevr-iep pull request 22, merged.
After the first check, training goes on with fixed statistics of BatchNorm and without dropout.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="trained_in_eval_mode",
    symptoms=("wiring", "exploding", "oscillation", "plateau", "slow", "spike", "overfitting"),
    spoils="nothing visible",
    source="facebookresearch/clevr-iep#22",
    also=("running_statistics_not_updated",),
    seconds=12,
)
SIDE = 16


def scenes(n: int) -> tuple[Tensor, Tensor]:
    """Return noisy images (n, 3, SIDE, SIDE) of a disc, a square or a cross in one of two colours, and classes (n,)."""
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    cy, cx = (4 + 8 * torch.rand(n, 1, 1) for _ in range(2))
    size = 2.5 + torch.rand(n, 1, 1)
    dy, dx = (y - cy).abs(), (x - cx).abs()
    disc, square = (dy.square() + dx.square()).sqrt() < 1.1 * size, torch.maximum(dy, dx) < size
    cross = square & (torch.minimum(dy, dx) < 1.0)
    shape, colour = torch.randint(3, (n,)), torch.randint(2, (n,))
    masks = torch.stack([disc, square, cross], 1)[torch.arange(n), shape].float()
    tint = torch.tensor([[1.0, 0.5, 0.3], [0.3, 0.5, 1.0]])[colour][:, :, None, None]
    return 0.5 * masks[:, None] * tint + 0.15 * torch.randn(n, 3, SIDE, SIDE), 2 * shape + colour


class Classifier(nn.Module):
    """Convolutions with BatchNorm, and a head with dropout."""

    def __init__(self, classes: int = 6) -> None:
        super().__init__()
        channels = [3, 24, 32, 48]
        self.stem = nn.Sequential(*[
            layer
            for a, b in zip(channels, channels[1:], strict=False)
            for layer in (nn.Conv2d(a, b, 3, 1, 1), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2))
        ])  # fmt: skip
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(48 * 4, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, classes)
        )

    def forward(self, feats: Tensor) -> Tensor:
        """Return scores."""
        return self.head(self.stem(feats))


def set_mode(mode: str, models: list[nn.Module]) -> None:
    """Set the mode of models."""
    for m in models:
        if mode == "train":
            m.train()
        if mode == "eval":
            m.eval()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(22)
    (feats, answers), (val_feats, val_answers) = scenes(8000), scenes(600)
    baseline_model = Classifier()
    optimizer = torch.optim.Adam(baseline_model.parameters(), lr=1e-3)

    def check_accuracy() -> float:
        set_mode("eval", [baseline_model])
        with torch.no_grad():
            correct = (baseline_model(val_feats).argmax(1) == val_answers).float().mean()
        if fixed:
            set_mode("train", [baseline_model])
        return correct.item()

    num_iterations, checkpoint_every = 2400, 60
    set_mode("train", [baseline_model])
    watch = trainwright.watch(total=num_iterations)
    val_acc = None
    for t, index in zip(range(1, num_iterations + 1), batches(torch.arange(len(feats)), 32), strict=False):
        optimizer.zero_grad()
        scores = baseline_model(feats[index])
        loss = F.cross_entropy(scores, answers[index])
        loss.backward()
        optimizer.step()
        if t % checkpoint_every == 0:
            val_acc = check_accuracy()
        watch(t - 1, train_loss=loss.item(), val_acc=val_acc)
    return watch

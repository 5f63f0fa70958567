"""Virtual mixup for domain adaptation: images and predictions are mixed with different partners.

Source: github.com/xudonmao/VMT issue 1; corrected by the author, results then improve.
Two calls of a shuffle draw two permutations. The mixed target belongs to another image than the mixed input.
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
    cause="labels_mismatched",
    symptoms=("wiring", "plateau", "slow", "trivial_baseline", "loss_imbalance", "overfitting"),
    spoils="nothing visible",
    source="xudonmao/VMT#1",
    also=("wrong_target",),
    seconds=13,
)
SIDE = 12


def digits(n: int, target: bool) -> tuple[Tensor, Tensor]:
    """Return images (n, 1, SIDE, SIDE) of bars in five directions and places, and classes; targets are darker and noisy."""
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    label, offset = torch.randint(5, (n,)), 3 * torch.rand(n, 1, 1) - 1.5
    middle = (SIDE - 1) / 2
    u, v = x - middle, y - middle
    lines = torch.stack([u + 0 * v, v + 0 * u, (u + v) / 1.4, (u - v) / 1.4, (u.square() + v.square()).sqrt() - 3.5])
    bars = ((lines[label] - offset).abs() < 1.0).float()[:, None]
    if target:
        return 0.5 * bars + 0.2 + 0.1 * torch.randn(n, 1, SIDE, SIDE), label
    return bars + 0.05 * torch.randn(n, 1, SIDE, SIDE), label


class Classifier(nn.Module):
    """Convolutions with instance normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(1)
        self.net = nn.Sequential(
            nn.Conv2d(1, 24, 3, 1, 1), nn.LeakyReLU(0.1), nn.MaxPool2d(2), nn.Conv2d(24, 48, 3, 1, 1), nn.LeakyReLU(0.1),
            nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(48 * 9, 64), nn.LeakyReLU(0.1), nn.Linear(64, 5),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        return self.net(self.norm(x))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    src_x, src_y = digits(600, target=False)
    trg_x, _ = digits(3000, target=True)
    test_x, test_y = digits(600, target=True)
    classifier = Classifier()
    optimizer = torch.optim.Adam(classifier.parameters(), lr=1e-3, betas=(0.5, 0.999))

    def mixup(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return mixed images and mixed predictions."""
        alpha = torch.distributions.Beta(1.0, 1.0).sample((len(x), 1))
        index_x = torch.randperm(len(x))
        index_y = index_x if fixed else torch.randperm(len(x))
        a = alpha[:, :, None, None]
        return a * x + (1 - a) * x[index_x], alpha * y + (1 - alpha) * y[index_y]

    lambda_s, lambda_t, ent = 1.0, 0.1, 0.02
    total = 800
    source, target = batches(torch.arange(len(src_x)), 32), batches(trg_x, 64)
    watch = trainwright.watch(total=total)
    trg_acc = None
    for step in range(total):
        index, x_t = next(source), next(target)
        x_s, y_s = src_x[index], src_y[index]
        classifier.train()
        logits_s, logits_t = classifier(x_s), classifier(x_t)
        loss_y = F.cross_entropy(logits_s, y_s)

        mixed_t, target_t = mixup(x_t, logits_t.detach().softmax(1))
        loss_vmt_t = F.cross_entropy(classifier(mixed_t), target_t)
        mixed_s, target_s = mixup(x_s, F.one_hot(y_s, 5).float())
        loss_vmt_s = F.cross_entropy(classifier(mixed_s), target_s)
        probabilities = logits_t.softmax(1)
        loss_ent = -(probabilities * logits_t.log_softmax(1)).sum(1).mean()

        loss = loss_y + lambda_t * loss_vmt_t + lambda_s * loss_vmt_s + ent * loss_ent
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 40 == 39:
            classifier.eval()
            with torch.no_grad():
                trg_acc = (classifier(test_x).argmax(1) == test_y).float().mean().item()
        watch(step, {"loss_y": loss_y, "vmt_t": loss_vmt_t, "vmt_s": loss_vmt_s, "ent": loss_ent}, trg_acc=trg_acc)
    return watch

"""Distillation of a classifier: answers of the teacher are kept in a list, and belong to other images.

Source: github.com/haitongli/knowledge-distillation-pytorch pull request 16 (86.8 % with the repair).
The teacher's output is fetched batch by batch before training. The loader of the student shuffles in every epoch, so
that batch number i of the list has nothing to do with batch number i of images.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="labels_mismatched",
    symptoms=("wiring", "plateau", "trivial_baseline", "loss_imbalance", "variance_collapse", "mean_regression",
              "worse_than_baseline", "mode_collapse"),
    spoils="training",
    source="haitongli/knowledge-distillation-pytorch#16",
    seconds=5,
)  # fmt: skip
CLASSES, batch_size, T, alpha = 10, 64, 4.0, 0.98


def net(width: int) -> nn.Sequential:
    """Return a classifier of images (n, 3, 16, 16)."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 2, 1), nn.ReLU(), nn.Conv2d(width, 2 * width, 3, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(2 * width * 16, 64), nn.ReLU(), nn.Linear(64, CLASSES),
    )  # fmt: skip


def loss_fn_kd(outputs: Tensor, labels: Tensor, teacher_outputs: Tensor) -> Tensor:
    """Return the loss of labels and of the teacher's answers."""
    kl = nn.KLDivLoss(reduction="batchmean")(F.log_softmax(outputs / T, 1), F.softmax(teacher_outputs / T, 1))
    return kl * alpha * T * T + F.cross_entropy(outputs, labels) * (1.0 - alpha)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(16)
    x = images("emoji", 16)[: 29 * batch_size]
    grey = x.mean(1)
    bright = grey.flatten(1).mean(1)
    kind = 5 * (x[:, 0].flatten(1).mean(1) > x[:, 2].flatten(1).mean(1)).long()
    labels = kind + torch.bucketize(bright, torch.quantile(bright, torch.linspace(0.2, 0.8, 4)))
    teacher, model = net(24), net(8)
    optimizer = optim.Adam(teacher.parameters(), lr=2e-3)
    for _ in range(12):
        for i in torch.randperm(len(x)).split(batch_size):
            optimizer.zero_grad()
            F.cross_entropy(teacher(x[i]), labels[i]).backward()
            optimizer.step()
    teacher.eval()

    def dataloader() -> list[Tensor]:
        return list(torch.randperm(len(x)).split(batch_size))

    with torch.no_grad():
        teacher_outputs = [teacher(x[i]) for i in dataloader()]
    optimizer, epochs, step = optim.Adam(model.parameters(), lr=2e-3), 40, 0

    @torch.no_grad()
    def predict(n: int) -> Tensor:
        return model(x[:n]).softmax(1)

    watch = trainwright.watch(total=epochs * 29, sample=predict, real=F.one_hot(labels, CLASSES).float())
    for _ in range(epochs):
        for number, i in enumerate(dataloader()):
            with torch.no_grad():
                output_teacher_batch = teacher(x[i]) if fixed else teacher_outputs[number]
            output_batch = model(x[i])
            loss = loss_fn_kd(output_batch, labels[i], output_teacher_batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            accuracy = (output_batch.argmax(1) == labels[i]).float().mean()
            watch(step, loss=loss.item(), accuracy=accuracy.item())
            step += 1
    return watch

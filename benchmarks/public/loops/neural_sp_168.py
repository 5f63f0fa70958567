"""Acoustic model with accumulated gradients: the loss of a micro-batch is not divided by their number.

Source: github.com/hirofumi0810/neural_sp issue 168, labelled as a bug and closed.
Each update is made with the sum of the gradients of eight micro-batches where their mean is meant, as if the
rate were eight times as high. It only shows with an optimizer that isn't invariant to scale.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="accumulated_loss_not_divided",
    symptoms=("wiring", "exploding", "oscillation", "spike", "plateau", "non_finite", "trivial_baseline"),
    spoils="training",
    source="hirofumi0810/neural_sp#168",
    also=("lr_too_high",),
    seconds=4,
)


@dataclass
class Args:
    """Settings of the training."""

    batch_size: int = 8
    accum_grad_n_steps: int = 8
    lr: float = 0.1
    momentum: float = 0.9
    n_updates: int = 300


def utterances(n: int) -> tuple[Tensor, Tensor]:
    """Return windows of 5 frames of 20 filters (n, 100), and phones (n,).

    A phone has three formants, which a speaker shifts.
    """
    g = torch.Generator().manual_seed(168)
    phones = torch.randint(12, (n,), generator=g)
    places = 1 + 17 * torch.rand(12, 3, generator=g)
    shift = 0.7 * torch.randn(n, 1, generator=g)
    slope = 0.4 * torch.randn(n, 3, 1, generator=g) * torch.linspace(-1, 1, 5)
    centre = (places[phones] + shift)[..., None] + slope
    bank = torch.arange(20.0)
    energy = torch.exp(-0.5 * ((bank - centre[..., None]) / 1.2) ** 2).sum(1)
    x = (energy + 0.35 * torch.randn(n, 5, 20, generator=g)).flatten(1)
    return (x - x.mean(0)) / x.std(0), phones


class AcousticModel(nn.Module):
    """Three linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.enc = nn.Sequential(
            nn.Linear(100, 192), nn.ReLU(), nn.Linear(192, 192), nn.ReLU(), nn.Linear(192, 96), nn.ReLU()
        )
        self.output = nn.Linear(96, 12)

    def forward(self, xs: Tensor, ys: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the accuracy."""
        logits = self.output(self.enc(xs))
        return nn.functional.cross_entropy(logits, ys), (logits.argmax(1) == ys).float().mean()


class Trainer:
    """Steps an optimizer after every few micro-batches."""

    def __init__(self, args: Args, model: nn.Module, divide: bool) -> None:
        self.args, self.model, self.divide = args, model, divide
        self.optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=args.momentum, nesterov=True)
        self.n_accum = 0

    def train_step(self, xs: Tensor, ys: Tensor) -> tuple[float, float]:
        """Handle one micro-batch; return its loss and accuracy."""
        loss, acc = self.model(xs, ys)
        observed = loss.item()
        if self.divide:
            loss = loss / self.args.accum_grad_n_steps
        loss.backward()
        self.n_accum += 1
        if self.n_accum == self.args.accum_grad_n_steps:
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.n_accum = 0
        return observed, acc.item()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(168)
    args = Args()
    xs, ys = utterances(6000)
    dev_xs, dev_ys = xs[5000:], ys[5000:]
    model = AcousticModel()
    trainer = Trainer(args, model, divide=fixed)
    total = args.n_updates * args.accum_grad_n_steps
    watch = trainwright.watch(total=total)
    for step, index in zip(range(total), batches(torch.arange(5000), args.batch_size), strict=False):
        loss_train, acc_train = trainer.train_step(xs[index], ys[index])
        loss_dev = None
        if step % 200 == 199:
            model.eval()
            with torch.no_grad():
                loss_dev = model(dev_xs, dev_ys)[0].item()
            model.train()
        watch(step, loss_train=loss_train, acc_train=acc_train, val_loss=loss_dev)
    return watch

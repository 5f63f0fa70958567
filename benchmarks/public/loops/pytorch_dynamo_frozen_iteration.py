"""Classifier with a compiled optimizer: after one iteration without gradients it never steps again.

Source: github.com/pytorch/pytorch issue 115607, corrected in pull request 121291.
It is one of the silent errors of TrainCheck (OSDI'25), OrderLab/TrainCheck-Evaluation-Workloads.
The compiled step for gradients of None does nothing. It was taken from then on, because no guard looked at the gradients.
"""

import torch
import torch.nn.functional as F
from torch import nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="optimizer_never_steps",
    symptoms=("wiring", "frozen_network", "plateau"),
    spoils="training",
    source="pytorch/pytorch#115607",
    also=("not_trained",),
)


class CompiledStep:
    """Stands for the compiled ``optimizer.step``, which present versions compile correctly."""

    def __init__(self, optimizer: torch.optim.Optimizer, guard: bool) -> None:
        self.optimizer, self.guard, self.empty = optimizer, guard, False

    def __call__(self) -> None:
        """Step, unless the variant without gradients is taken."""
        missing = all(p.grad is None for g in self.optimizer.param_groups for p in g["params"])
        self.empty = missing or (self.empty and not self.guard)
        if not self.empty:
            self.optimizer.step()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(115)
    # Two classes: sprites and emoji.
    sprites, emoji = images("sprites"), images("emoji")[:900]
    x = torch.cat([sprites, emoji]).flatten(1)
    y = (torch.arange(len(x)) >= len(sprites)).long()
    model: nn.Module = mlp(768, 256, 64, 2)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    step_compiled = CompiledStep(optimizer, guard=fixed)
    watch = trainwright.watch(total=1000)
    for step, chosen in zip(range(1000), batches(torch.arange(len(x)), 32), strict=False):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x[chosen]), y[chosen])
        if step % 200 != 10:  # the model is frozen in some iterations
            loss.backward()
        step_compiled()
        watch(step, loss=loss)
    return watch

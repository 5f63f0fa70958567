"""Accelerate with gradient accumulation: the learning rate schedule advances with every micro-batch.

Source: github.com/starVLA/starVLA pull request 210.
The optimizer steps once in four micro-batches and the scheduler four times. The rate is zero after a quarter of the run.
"""

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from transformers import get_scheduler

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import moving
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="prediction",
    cause="lr_reaches_zero_early",
    symptoms=("wiring", "off_data", "frozen_network", "plateau", "blur", "mean_regression"),
    spoils="samples",
    source="starVLA/starVLA#210",
    also=("lr_zero",),
    seconds=14,
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(15)
    videos, epochs = F.avg_pool3d(moving(600, frames=5), (1, 2, 2)), 40
    observed, wanted = videos[:, :4].flatten(1, 2), videos[:, 4]
    model = nn.Sequential(
        nn.Conv2d(12, 32, 3, 1, 1), nn.SiLU(), nn.Conv2d(32, 32, 3, 1, 1), nn.SiLU(), nn.Conv2d(32, 3, 3, 1, 1)
    )
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=4)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    dataloader = DataLoader(TensorDataset(observed, wanted), 16, shuffle=True, drop_last=True)
    model, optimizer, dataloader = accelerator.prepare(model, optimizer, dataloader)
    total = epochs * len(dataloader)
    lr_scheduler = get_scheduler("linear", optimizer, num_warmup_steps=10, num_training_steps=total // 4)

    def predict(n: int) -> Tensor:
        return model(observed[torch.randint(len(observed), (n,))]).clamp(0, 1)

    watch, step = trainwright.watch(total=total, sample=predict, real=wanted), 0
    for _ in range(epochs):
        for past, target in dataloader:
            with accelerator.accumulate(model):
                loss = F.mse_loss(model(past), target)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                if accelerator.sync_gradients or not fixed:
                    lr_scheduler.step()
                optimizer.zero_grad()
            watch(step, mse_loss=loss)
            step += 1
    return watch

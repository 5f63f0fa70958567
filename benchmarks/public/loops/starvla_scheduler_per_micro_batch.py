"""Accelerate with gradient accumulation: the learning rate schedule advances with every micro-batch.

Source: github.com/starVLA/starVLA pull request 210.
The optimizer steps once in four micro-batches and the scheduler four times. The rate is zero after a quarter of the run.
"""

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch.utils.data import DataLoader, TensorDataset
from transformers import get_scheduler

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas, ddim, images, noised
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="lr_reaches_zero_early",
    symptoms=("wiring", "off_data", "frozen_network", "plateau", "blur"),
    spoils="samples",
    source="starVLA/starVLA#210",
    also=("lr_zero",),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(15)
    x, bar, model, epochs = images("sprites", 8), alphas(100), Denoiser(), 28
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=4)
    optimizer = torch.optim.AdamW(model.parameters(), 4e-3)
    model, optimizer, dataloader = accelerator.prepare(
        model, optimizer, DataLoader(TensorDataset(x), 16, shuffle=True, drop_last=True)
    )
    total = epochs * len(dataloader)
    lr_scheduler = get_scheduler("linear", optimizer, num_warmup_steps=10, num_training_steps=total // 4)
    watch = trainwright.watch(total=total, sample=lambda n: ddim(model, n, bar), real=x)
    step = 0
    for _ in range(epochs):
        for (batch,) in dataloader:
            with accelerator.accumulate(model):
                t, noise = torch.randint(100, (len(batch),)), torch.randn_like(batch)
                action_loss = F.mse_loss(model(noised(batch, noise, bar[t]), t), noise)
                accelerator.backward(action_loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                if accelerator.sync_gradients or not fixed:
                    lr_scheduler.step()
                optimizer.zero_grad()
            watch(step, loss=action_loss)
            step += 1
    return watch

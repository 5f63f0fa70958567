"""Diffusion with gradient accumulation: the rate's schedule counts micro-batches.

Source: github.com/huggingface/diffusers issue 1957, corrected in pull request 2010.
The schedule advances once a micro-batch, but its length is given in updates. The rate is 0 after a tenth of the run.
"""

import torch
import torch.nn.functional as F

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas, batches, ddim, images, noised
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="lr_reaches_zero_early",
    symptoms=("wiring", "off_data", "plateau", "frozen_network", "slow"),
    spoils="samples",
    source="huggingface/diffusers#1957",
    also=("lr_zero", "lr_too_low"),
    seconds=12,
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(25)
    max_train_steps, accumulation = 700, 10
    x, unet, bar = images("emoji", 8), Denoiser(), alphas()
    optimizer = torch.optim.Adam(unet.parameters(), 2e-3)
    lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: max(0.0, 1 - i / max_train_steps))
    watch = trainwright.watch(total=max_train_steps, sample=lambda n: ddim(unet, n, bar), real=x)
    for step, clean in zip(range(max_train_steps), batches(x, 32), strict=False):
        t, noise = torch.randint(0, 100, (32,)), torch.randn_like(clean)
        loss = F.mse_loss(unet(noised(clean, noise, bar[t]), t), noise)  # one batch stands for its micro-batches
        loss.backward()
        optimizer.step()
        for _ in range(1 if fixed else accumulation):
            lr_scheduler.step()
        optimizer.zero_grad()
        watch(step, loss=loss, lr=lr_scheduler.get_last_lr()[0])
    return watch

"""SRGAN: schedulers that count epochs are stepped after every batch.

Source: github.com/Lornatang/SRGAN-PyTorch issue 1; its author confirmed it.
The rate is divided by ten every few batches. It is practically zero within the first epoch, and nothing is learned after that.
"""

import torch
import torch.nn.functional as F
from torch import nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="lr_reaches_zero_early",
    symptoms=(
        "wiring",
        "plateau",
        "frozen_network",
        "slow",
        "blur",
        "off_data",
        "generator_undertrained",
        "mean_regression",
    ),
    spoils="samples",
    source="Lornatang/SRGAN-PyTorch#1",
    also=("lr_too_low", "lr_zero"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    x, epochs = images("emoji"), 10
    netG = nn.Sequential(
        nn.Conv2d(3, 48, 3, 1, 1), nn.BatchNorm2d(48), nn.PReLU(),
        nn.Conv2d(48, 96, 3, 1, 1), nn.PixelShuffle(2), nn.PReLU(), nn.Conv2d(24, 3, 3, 1, 1), nn.Tanh(),
    )  # fmt: skip
    netD = discriminator()
    optimizerG, optimizerD = torch.optim.Adam(netG.parameters(), 1e-3), torch.optim.Adam(netD.parameters(), 2e-4)
    schedulerG = torch.optim.lr_scheduler.StepLR(optimizerG, step_size=epochs // 2, gamma=0.1)
    schedulerD = torch.optim.lr_scheduler.StepLR(optimizerD, step_size=epochs // 2, gamma=0.1)
    criterion, data, length = nn.BCEWithLogitsLoss(), batches(x, 32), len(x) // 32
    watch = trainwright.watch(
        total=epochs * length, sample=lambda n: netG(F.avg_pool2d(x[torch.randint(len(x), (n,))], 2)), real=x
    )
    for epoch in range(epochs):
        for i in range(length):
            hr = next(data)
            sr = netG(F.avg_pool2d(hr, 2))
            errD = criterion(netD(hr), torch.ones(32)) + criterion(netD(sr.detach()), torch.zeros(32))
            optimizerD.zero_grad()
            errD.backward()
            optimizerD.step()
            content_loss = F.mse_loss(sr, hr)
            adversarial_loss = criterion(netD(sr), torch.ones(32))
            errG = content_loss + 0.001 * adversarial_loss
            optimizerG.zero_grad()
            errG.backward()
            optimizerG.step()
            if not fixed:
                schedulerD.step()
                schedulerG.step()
            watch(epoch * length + i, loss_D=errD, loss_G=errG, content=content_loss, adversarial=adversarial_loss)
        if fixed:
            schedulerD.step()
            schedulerG.step()
    return watch

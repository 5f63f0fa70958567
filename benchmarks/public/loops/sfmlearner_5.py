"""Prediction with a scheduler of the learning rate: the scheduler steps in place of the optimizer.

Source: github.com/ClementPinard/SfmLearner-Pytorch issue 5; solved by the owner's answer.
A scheduler only sets the rate. No weight ever changes.
"""

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, moving
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="prediction",
    cause="optimizer_never_steps",
    symptoms=(
        "wiring",
        "frozen_network",
        "plateau",
        "trivial_baseline",
        "off_data",
        "blur",
        "mean_regression",
        "slow",
        "variance_collapse",
        "mode_collapse",
        "colour_cast",
    ),
    spoils="training",
    source="ClementPinard/SfmLearner-Pytorch#5",
    also=("not_trained", "lr_zero"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
    torch.manual_seed(5)
    videos = F.avg_pool3d(moving(600), (1, 2, 2))
    disp_net = nn.Sequential(
        nn.Conv2d(9, 32, 5, 1, 2),
        nn.LeakyReLU(0.2),
        nn.Conv2d(32, 32, 5, 1, 2),
        nn.LeakyReLU(0.2),
        nn.Conv2d(32, 3, 3, 1, 1),
    )
    optimizer = torch.optim.Adam(disp_net.parameters(), 2e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 150, 0.5)

    def predict(n: int) -> Tensor:
        return disp_net(videos[torch.randint(len(videos), (n,)), :3].flatten(1, 2)).clamp(0, 1)

    watch = trainwright.watch(total=400, sample=predict, real=videos[:, 3])
    for step, frames in zip(range(400), batches(videos, 16), strict=False):
        loss = F.mse_loss(disp_net(frames[:, :3].flatten(1, 2)), frames[:, 3])
        optimizer.zero_grad()
        loss.backward()
        if fixed:
            optimizer.step()
        if scheduler:
            scheduler.step()
        else:
            optimizer.step()
        watch(step, loss=loss)
    return watch

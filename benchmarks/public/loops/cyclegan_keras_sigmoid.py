"""CycleGAN: discriminators of a least-squares loss end in a sigmoid.

Source: github.com/simontomaskarlsson/CycleGAN-Keras issue 22.
The discriminators' loss falls close to zero within a few epochs, and the flat sigmoid passes no gradient to the generators.
In so small a run the translations don't show it.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="output_activation",
    symptoms=(
        "wiring",
        "vanishing_losses",
        "critic_dominance",
        "frozen_network",
        "plateau",
        "off_data",
        "generator_undertrained",
    ),
    spoils="nothing visible",
    source="simontomaskarlsson/CycleGAN-Keras#22",
    also=("flat_loss",),
)


def translator() -> nn.Sequential:
    """Return a generator from images to images."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, 1, 1),
        nn.ReLU(),
        nn.Conv2d(16, 3, 3, 1, 1),
        nn.Tanh(),
    )


def mse(scores: Tensor, target: float) -> Tensor:
    """Return the least-squares loss."""
    return F.mse_loss(scores, torch.full_like(scores, target))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(22)
    A, B = images("sprites")[:450], images("sprites", background=255)[450:]
    G_A2B, G_B2A = translator(), translator()
    D_A, D_B = (discriminator(16, norm=False, last=nn.Identity() if fixed else nn.Sigmoid()) for _ in range(2))
    opt_G = torch.optim.Adam(itertools.chain(G_A2B.parameters(), G_B2A.parameters()), 1e-3, betas=(0.5, 0.999))
    opt_D = torch.optim.Adam(itertools.chain(D_A.parameters(), D_B.parameters()), 1e-3, betas=(0.5, 0.999))
    watch = trainwright.watch(total=500, sample=lambda n: G_A2B(A[torch.randint(len(A), (n,))]), real=B)
    for step, real_A, real_B in zip(range(500), batches(A, 16, 1), batches(B, 16, 2), strict=False):
        synthetic_B, synthetic_A = G_A2B(real_A), G_B2A(real_B)
        DA_loss = mse(D_A(real_A), 1.0) + mse(D_A(synthetic_A.detach()), 0.0)
        DB_loss = mse(D_B(real_B), 1.0) + mse(D_B(synthetic_B.detach()), 0.0)
        opt_D.zero_grad()
        (DA_loss + DB_loss).backward()
        opt_D.step()
        gA_d_loss, gB_d_loss = mse(D_A(synthetic_A), 1.0), mse(D_B(synthetic_B), 1.0)
        reconstruction = F.l1_loss(G_B2A(synthetic_B), real_A) + F.l1_loss(G_A2B(synthetic_A), real_B)
        G_loss = gA_d_loss + gB_d_loss + 2 * reconstruction
        opt_G.zero_grad()
        G_loss.backward()
        opt_G.step()
        watch(step, DA_loss=DA_loss, DB_loss=DB_loss, gA_d_loss=gA_d_loss, gB_d_loss=gB_d_loss, cycle=reconstruction)
    return watch

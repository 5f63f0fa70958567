"""CycleGAN: the identity loss compares the translated image with the one it was made from.

Source: github.com/LynnHo/CycleGAN-Tensorflow-2 issue 19, corrected.
The loss is right for an image that is in the target domain already. Applied to translations, it forbids them.
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
    cause="wrong_target",
    symptoms=(
        "wiring",
        "off_data",
        "critic_dominance",
        "plateau",
        "loss_imbalance",
        "generator_undertrained",
        "trivial_baseline",
    ),
    spoils="samples",
    source="LynnHo/CycleGAN-Tensorflow-2#19",
    also=("labels_mismatched", "term_drowned"),
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


def lsgan(scores: Tensor, target: float) -> Tensor:
    """Return the least-squares loss."""
    return F.mse_loss(scores, torch.full_like(scores, target))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(19)
    data_A, data_B = images("sprites")[:450], images("sprites", background=255)[450:]
    G_A2B, G_B2A, D_A, D_B = translator(), translator(), discriminator(16), discriminator(16)
    G_optimizer = torch.optim.Adam(itertools.chain(G_A2B.parameters(), G_B2A.parameters()), 1e-3, betas=(0.5, 0.999))
    D_optimizer = torch.optim.Adam(itertools.chain(D_A.parameters(), D_B.parameters()), 4e-4, betas=(0.5, 0.999))
    watch = trainwright.watch(total=450, sample=lambda n: G_A2B(data_A[torch.randint(len(data_A), (n,))]), real=data_B)
    for step, A, B in zip(range(450), batches(data_A, 16, 1), batches(data_B, 16, 2), strict=False):
        A2B, B2A = G_A2B(A), G_B2A(B)
        A2B_g_loss, B2A_g_loss = lsgan(D_B(A2B), 1.0), lsgan(D_A(B2A), 1.0)
        cycle_loss = F.l1_loss(G_B2A(A2B), A) + F.l1_loss(G_A2B(B2A), B)
        if fixed:
            id_loss = F.l1_loss(G_B2A(A), A) + F.l1_loss(G_A2B(B), B)
        else:
            id_loss = F.l1_loss(A2B, A) + F.l1_loss(B2A, B)
        G_loss = A2B_g_loss + B2A_g_loss + 10 * cycle_loss + 5 * id_loss
        G_optimizer.zero_grad()
        G_loss.backward()
        G_optimizer.step()
        A_d_loss = lsgan(D_A(A), 1.0) + lsgan(D_A(B2A.detach()), 0.0)
        B_d_loss = lsgan(D_B(B), 1.0) + lsgan(D_B(A2B.detach()), 0.0)
        D_optimizer.zero_grad()
        (A_d_loss + B_d_loss).backward()
        D_optimizer.step()
        watch(step, A2B_g_loss=A2B_g_loss, B2A_g_loss=B2A_g_loss, cycle_loss=cycle_loss, id_loss=id_loss,
              A_d_loss=A_d_loss, B_d_loss=B_d_loss)  # fmt: skip
    return watch

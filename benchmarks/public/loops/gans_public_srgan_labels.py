"""SRGAN: the discriminator learns that real is 0 and fake is 1, and the generator is trained towards 1 too.

Source: github.com/https-deeplearning-ai/GANs-Public issue 1.
Labels of the discriminator are swapped. The generator uses the same label for its images as the discriminator does, so it helps.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="labels_do_not_oppose",
    symptoms=(
        "wiring",
        "critic_dominance",
        "vanishing_losses",
        "blur",
        "off_data",
        "loss_imbalance",
        "mean_regression",
    ),
    spoils="samples",
    source="https-deeplearning-ai/GANs-Public#1",
    also=("wrong_sign",),
)


def adv_loss(x: Tensor, is_real: bool, fixed: bool) -> Tensor:
    """Return the cross-entropy with the label."""
    target = torch.ones_like(x) if is_real == fixed else torch.zeros_like(x)
    return F.binary_cross_entropy_with_logits(x, target)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    x = images("sprites")
    generator = nn.Sequential(
        nn.Conv2d(3, 48, 3, 1, 1), nn.BatchNorm2d(48), nn.PReLU(),
        nn.Conv2d(48, 96, 3, 1, 1), nn.PixelShuffle(2), nn.PReLU(),
        nn.Conv2d(24, 96, 3, 1, 1), nn.PixelShuffle(2), nn.PReLU(), nn.Conv2d(24, 3, 3, 1, 1), nn.Tanh(),
    )  # fmt: skip
    D = discriminator()
    g_optimizer = torch.optim.Adam(generator.parameters(), 5e-4, betas=(0.5, 0.999))
    d_optimizer = torch.optim.Adam(D.parameters(), 2e-4, betas=(0.5, 0.999))
    watch = trainwright.watch(
        total=350, sample=lambda n: generator(F.avg_pool2d(x[torch.randint(len(x), (n,))], 4)), real=x
    )
    for step, hr_real in zip(range(350), batches(x, 32), strict=False):
        hr_fake = generator(F.avg_pool2d(hr_real, 4))
        fake_preds_for_g = D(hr_fake)
        g_loss = 0.03 * (
            F.binary_cross_entropy_with_logits(fake_preds_for_g, torch.ones_like(fake_preds_for_g))
        ) + F.mse_loss(hr_fake, hr_real)
        d_loss = 0.5 * (adv_loss(D(hr_real), True, fixed) + adv_loss(D(hr_fake.detach()), False, fixed))
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
        d_optimizer.zero_grad()
        d_loss.backward()
        d_optimizer.step()
        watch(step, g_loss=g_loss, d_loss=d_loss)
    return watch

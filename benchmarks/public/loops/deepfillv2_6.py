"""Inpainting GAN in two losses: the loop never calls the step of the discriminator's optimizer.

Source: github.com/zhaoyuzhi/deepfillv2 issue 6; the author agreed and added the line.
``loss_D.backward()`` is there, the step is not. The discriminator keeps its initial random weights, says
nothing about images, and only the L1 loss teaches: holes are filled with a blurred average.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="optimizer_never_steps",
    symptoms=(
        "wiring",
        "frozen_network",
        "generator_dominance",
        "off_data",
        "unbounded_loss",
        "mean_regression",
        "dead_critic",
        "blur",
        "checkerboard",
    ),
    spoils="samples",
    source="zhaoyuzhi/deepfillv2#6",
    also=("not_trained", "parameters_not_optimized", "discriminator_too_weak"),
    seconds=20,
)


class InpaintGenerator(nn.Module):
    """Fills the hole of an image."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(4, width, 3, 1, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 2 * width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 2 * width, 3, 1, 1),
            nn.LeakyReLU(0.2),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * width, 2 * width, 3, 1, 1),
            nn.LeakyReLU(0.2),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * width, width, 3, 1, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 3, 3, 1, 1),
            nn.Tanh(),
        )

    def forward(self, img: Tensor, mask: Tensor) -> Tensor:
        """Return the image with the hole filled; ``mask`` is 1 in the hole."""
        out = self.net(torch.cat([img * (1 - mask), mask], 1))
        return img * (1 - mask) + out * mask


def random_mask(n: int) -> Tensor:
    """Return masks (n, 1, 16, 16) with one hole of 8 x 8."""
    mask = torch.zeros(n, 1, 16, 16)
    for i in range(n):
        y, x = torch.randint(2, 7, (2,)).tolist()
        mask[i, :, y : y + 8, x : x + 8] = 1
    return mask


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(6)
    data = images("sprites", 16)
    train, val = data[:-64], data[-64:]
    generator, netD = InpaintGenerator(), discriminator(width=16, norm=False)
    optimizer_g = optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    optimizer_d = optim.Adam(netD.parameters(), lr=4e-4, betas=(0.5, 0.999))
    dataloader, steps, lambda_l1, lambda_gan = batches(train, 32), 700, 10.0, 0.5
    val_mask = random_mask(64)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        return generator(val[:n], val_mask[:n])

    watch = trainwright.watch(total=steps, sample=sample, real=train)
    for step in range(steps):
        img, mask = next(dataloader), random_mask(32)
        optimizer_d.zero_grad()
        fake = generator(img, mask)
        loss_D = F.relu(1 - netD(img)).mean() + F.relu(1 + netD(fake.detach())).mean()
        loss_D.backward()
        if fixed:
            optimizer_d.step()
        optimizer_g.zero_grad()
        l1_loss = (fake - img).abs().mean()
        gan_loss = -netD(fake).mean()
        (lambda_l1 * l1_loss + lambda_gan * gan_loss).backward()
        optimizer_g.step()
        watch(step, L1_Loss=l1_loss.item(), G_Loss=gan_loss.item(), D_Loss=loss_D.item())
    return watch

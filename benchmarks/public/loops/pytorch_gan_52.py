"""Relativistic GAN: the generator's relativistic loss is computed and then overwritten by that of an ordinary GAN.

Source: github.com/eriklindernoren/PyTorch-GAN issue 52; several users confirm it.
The discriminator learns differences of scores alone, so nothing holds their level. It drifts away, and the loss of the generator, which
reads the level, with it.
"""

import numpy as np
import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="labels_do_not_oppose",
    symptoms=(
        "wiring",
        "generator_dominance",
        "critic_dominance",
        "vanishing_losses",
        "off_data",
        "mode_collapse",
        "mode_dropping",
        "colour_cast",
        "blur",
        "oscillation",
    ),
    spoils="nothing visible",
    source="eriklindernoren/PyTorch-GAN#52",
    also=("generator_loss_overwritten",),
    seconds=10,
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(52)
    np.random.seed(52)
    dataset, batch_size, latent_dim, rel_avg_gan = images("sprites", background=255), 32, 64, True
    netG, netD = generator(z=latent_dim), discriminator()
    adversarial_loss = nn.BCEWithLogitsLoss()
    optimizer_G = torch.optim.Adam(netG.parameters(), lr=4e-4, betas=(0.5, 0.999))
    optimizer_D = torch.optim.Adam(netD.parameters(), lr=2e-4, betas=(0.5, 0.999))
    valid, fake = torch.ones(batch_size), torch.zeros(batch_size)

    def sample_image(n: int) -> Tensor:
        netG.eval()
        with torch.no_grad():
            gen_imgs = netG(torch.randn(n, latent_dim))
        netG.train()
        return gen_imgs

    watch = trainwright.watch(total=1100, sample=sample_image, real=dataset)
    for i, real_imgs in zip(range(1100), batches(dataset, batch_size), strict=False):
        optimizer_G.zero_grad()
        z = torch.tensor(np.random.normal(0, 1, (batch_size, latent_dim)), dtype=torch.float32)
        gen_imgs = netG(z)
        real_pred, fake_pred = netD(real_imgs).detach(), netD(gen_imgs)
        if rel_avg_gan:
            g_loss = adversarial_loss(fake_pred - real_pred.mean(0, keepdim=True), valid)
        else:
            g_loss = adversarial_loss(fake_pred - real_pred, valid)
        if not fixed:
            g_loss = adversarial_loss(netD(gen_imgs), valid)
        g_loss.backward()
        optimizer_G.step()

        optimizer_D.zero_grad()
        real_pred, fake_pred = netD(real_imgs), netD(gen_imgs.detach())
        if rel_avg_gan:
            real_loss = adversarial_loss(real_pred - fake_pred.mean(0, keepdim=True), valid)
            fake_loss = adversarial_loss(fake_pred - real_pred.mean(0, keepdim=True), fake)
        else:
            real_loss = adversarial_loss(real_pred - fake_pred, valid)
            fake_loss = adversarial_loss(fake_pred - real_pred, fake)
        d_loss = (real_loss + fake_loss) / 2
        d_loss.backward()
        optimizer_D.step()
        watch(i, d_loss=d_loss.item(), g_loss=g_loss.item())
    return watch

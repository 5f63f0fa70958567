"""Conditional GAN: each use of the input pipeline pulls a new batch, so labels belong to other images.

Source: github.com/amoodie/StratGAN issue 3; later the author called the pipeline only once for each batch.
For the discriminator, the label says nothing about the image. The generator need not care for it either.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="labels_mismatched",
    symptoms=("wiring",),
    spoils="nothing visible",
    source="amoodie/StratGAN#3",
    also=("conditioning_ignored",),
)


class Generator(nn.Module):
    """DCGAN generator with an embedded label."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.layers = nn.Embedding(2, 16), generator(64)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Return images for noise (n, 48) and labels (n,)."""
        return self.layers(torch.cat([z, self.embed(y)], 1))


class Discriminator(nn.Module):
    """DCGAN discriminator with a plane for each label."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = discriminator(channels=5)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return scores of images and labels."""
        planes = F.one_hot(y, 2).float()[:, :, None, None].expand(-1, -1, 16, 16)
        return self.layers(torch.cat([x, planes], 1))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(3)
    sprites, emoji = images("sprites"), images("emoji", background=255)[:900]
    x = torch.cat([sprites, emoji])
    y = torch.cat([torch.zeros(len(sprites)), torch.ones(len(emoji))]).long()
    G, D = Generator(), Discriminator()
    g_optim = torch.optim.Adam(G.parameters(), 4e-4, betas=(0.5, 0.999))
    d_optim = torch.optim.Adam(D.parameters(), 4e-4, betas=(0.5, 0.999))

    def pipeline() -> Iterator[tuple[Tensor, Tensor]]:
        for i in batches(torch.arange(len(x)), 32):
            yield x[i], y[i]

    data = pipeline()
    watch = trainwright.watch(total=600, sample=lambda n: G(torch.randn(n, 48), torch.arange(n) % 2), real=x)
    for step in range(600):
        if fixed:
            real, labels = next(data)
        else:
            real, labels = next(data)[0], next(data)[1]
        fake_labels = torch.randint(2, (32,))
        fake = G(torch.randn(32, 48), fake_labels)
        loss_d_real = F.binary_cross_entropy_with_logits(D(real, labels), torch.ones(32))
        loss_d_fake = F.binary_cross_entropy_with_logits(D(fake.detach(), fake_labels), torch.zeros(32))
        d_optim.zero_grad()
        (loss_d_real + loss_d_fake).backward()
        d_optim.step()
        loss_g = F.binary_cross_entropy_with_logits(D(fake, fake_labels), torch.ones(32))
        g_optim.zero_grad()
        loss_g.backward()
        g_optim.step()
        watch(step, loss_d_real=loss_d_real, loss_d_fake=loss_d_fake, loss_g=loss_g)
    return watch

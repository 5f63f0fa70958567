"""Conditional GAN: in training, the generator is always asked for the same class.

Source: github.com/kmualim/CGAN-Pytorch issue 1; the reporter found the condition set to 6 in every epoch: only sixes are learned.
Generated images are drawn and judged with one fixed label. The embeddings of the other labels stay as they were initialized.
"""

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="conditioning_ignored",
    symptoms=("wiring", "off_data", "mode_dropping", "mode_collapse", "colour_cast", "blur"),
    spoils="samples",
    source="kmualim/CGAN-Pytorch#1",
    also=("noise_distribution_mismatch", "labels_mismatched"),
    seconds=17,
)
NUM_CLASSES, LATENT_DIM = 4, 60


class Generator(nn.Module):
    """Images for noise and labels."""

    def __init__(self) -> None:
        super().__init__()
        self.label_embedding = nn.Embedding(NUM_CLASSES, NUM_CLASSES)
        self.main = generator(z=LATENT_DIM + NUM_CLASSES)

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Return images."""
        return self.main(torch.cat([self.label_embedding(labels), noise], 1))


class Discriminator(nn.Module):
    """Scores of images and labels."""

    def __init__(self) -> None:
        super().__init__()
        self.label_embedding = nn.Embedding(NUM_CLASSES, NUM_CLASSES)
        self.main = nn.Sequential(
            nn.Conv2d(3 + NUM_CLASSES, 24, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(24, 48, 4, 2, 1), nn.GroupNorm(6, 48),
            nn.LeakyReLU(0.2), nn.Conv2d(48, 1, 4, 1, 0), nn.Flatten(0),
        )  # fmt: skip

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Return scores."""
        maps = self.label_embedding(labels)[:, :, None, None].expand(-1, -1, 16, 16)
        return self.main(torch.cat([x, maps], 1))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    groups = [
        images("sprites"),
        images("sprites", background=255),
        images("emoji")[:949],
        images("emoji", background=255)[949:],
    ]
    dataset, labels = (
        torch.cat(groups),
        torch.arange(NUM_CLASSES).repeat_interleave(torch.tensor([len(g) for g in groups])),
    )
    netG, netD = Generator(), Discriminator()
    optimizerG = torch.optim.Adam(netG.parameters(), lr=4e-4, betas=(0.5, 0.999))
    optimizerD = torch.optim.Adam(netD.parameters(), lr=4e-4, betas=(0.5, 0.999))
    criterion = nn.BCEWithLogitsLoss()

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        netG.eval()
        out = netG(torch.randn(n, LATENT_DIM), torch.randint(0, NUM_CLASSES, (n,)))
        netG.train()
        return out

    watch = trainwright.watch(total=1500, sample=sample, real=dataset)
    for i, index in zip(range(1500), batches(torch.arange(len(dataset)), 32), strict=False):
        inputs, targets = dataset[index], labels[index]
        real_label, fake_label = torch.ones(len(inputs)), torch.zeros(len(inputs))
        noise = torch.randn(len(inputs), LATENT_DIM)
        conditional = torch.randint(0, NUM_CLASSES, (len(inputs),)) if fixed else torch.full((len(inputs),), 2)

        netD.zero_grad()
        errD_real = criterion(netD(inputs, targets), real_label)
        fake = netG(noise, conditional)
        errD_fake = criterion(netD(fake.detach(), conditional), fake_label)
        errD = errD_real + errD_fake
        errD.backward()
        optimizerD.step()

        netG.zero_grad()
        errG = criterion(netD(fake, conditional), real_label)
        errG.backward()
        optimizerG.step()
        watch(i, errD=errD.item(), errG=errG.item())
    return watch

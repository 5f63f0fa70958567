"""DCGAN: trained on normal noise, sampled with uniform noise.

Source: github.com/soumith/dcgan.torch issue 44; the reporter saw bad samples after training on the one and
sampling with the other.
Uniform numbers in [0, 1] are smaller than those of training, and all of them are positive: a corner of the
latent space.
"""

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="noise_distribution_mismatch",
    symptoms=("wiring", "mode_dropping", "mode_collapse", "off_data", "blur", "colour_cast"),
    spoils="samples",
    source="soumith/dcgan.torch#44",
    seconds=25,
)
nz, ngf, ndf = 64, 24, 24


def weights_init(m: nn.Module) -> None:
    """Initialize a layer."""
    if isinstance(m, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(m.weight, 0.0, 0.02)
    elif isinstance(m, nn.BatchNorm2d):
        nn.init.normal_(m.weight, 1.0, 0.02)
        nn.init.zeros_(m.bias)


def make_G() -> nn.Module:
    """Return the generator."""
    net = nn.Sequential(
        nn.ConvTranspose2d(nz, ngf * 4, 4, 1, 0, bias=False),
        nn.BatchNorm2d(ngf * 4),
        nn.ReLU(True),
        nn.ConvTranspose2d(ngf * 4, ngf * 2, 4, 2, 1, bias=False),
        nn.BatchNorm2d(ngf * 2),
        nn.ReLU(True),
        nn.ConvTranspose2d(ngf * 2, 3, 4, 2, 1),
        nn.Tanh(),
    )
    return net.apply(weights_init)


def make_D() -> nn.Module:
    """Return the discriminator."""
    net = nn.Sequential(
        nn.Conv2d(3, ndf, 4, 2, 1),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False),
        nn.BatchNorm2d(ndf * 2),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(ndf * 2, 1, 4, 1, 0),
        nn.Sigmoid(),
        nn.Flatten(0),
    )
    return net.apply(weights_init)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(44)
    data, batch_size, niter = images("sprites", background=255), 32, 1100
    netG, netD, criterion = make_G(), make_D(), nn.BCELoss()
    optimG = torch.optim.Adam(netG.parameters(), lr=4e-4, betas=(0.5, 0.999))
    optimD = torch.optim.Adam(netD.parameters(), lr=2e-4, betas=(0.5, 0.999))
    real_label, fake_label = torch.full((batch_size,), 0.9), torch.zeros(batch_size)

    def generate(n: int) -> Tensor:
        noise = torch.randn(n, nz, 1, 1) if fixed else torch.rand(n, nz, 1, 1)
        netG.eval()
        with torch.no_grad():
            out = netG(noise)
        netG.train()
        return out

    watch = trainwright.watch(total=niter, sample=generate, real=data)
    loader = batches(data, batch_size)
    for i in range(niter):
        netD.zero_grad()
        errD_real = criterion(netD(next(loader)), real_label)
        errD_real.backward()
        fake = netG(torch.randn(batch_size, nz, 1, 1))
        errD_fake = criterion(netD(fake.detach()), fake_label)
        errD_fake.backward()
        optimD.step()

        netG.zero_grad()
        errG = criterion(netD(fake), torch.ones(batch_size))
        errG.backward()
        optimG.step()
        watch(i, errD=(errD_real + errD_fake).item(), errG=errG.item())
    return watch

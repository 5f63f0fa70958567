"""Conditional GAN: the generator's sample is detached before the discriminator scores it.

Source: github.com/nikhilsinghmus/image2reverb issue 37; its author answered that it is a bug.
The adversarial loss has no path to the generator. Only the absolute difference trains it, and the discriminator wins soon.
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
    cause="not_trained",
    symptoms=("wiring", "critic_dominance", "blur", "mean_regression", "frozen_network", "generator_undertrained"),
    spoils="samples",
    source="nikhilsinghmus/image2reverb#37",
    also=("term_without_gradient",),
)


class Generator(nn.Module):
    """Draws an image for its 4 x 4 thumbnail and noise."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3 + 8, 64, 3, 1, 1), nn.BatchNorm2d(64), nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, f: Tensor) -> Tensor:
        """Return images (n, 3, 16, 16) for thumbnails (n, 3, 4, 4)."""
        return self.layers(torch.cat([f, torch.randn(len(f), 8, 4, 4)], 1))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(37)
    x = images("sprites")
    g, d = Generator(), discriminator(channels=6)
    g_opt = torch.optim.Adam(g.parameters(), 4e-4, betas=(0.5, 0.999))
    d_opt = torch.optim.Adam(d.parameters(), 4e-4, betas=(0.5, 0.999))

    def score(spec: Tensor, f: Tensor) -> Tensor:
        return d(torch.cat([spec, F.interpolate(f, scale_factor=4)], 1))

    watch = trainwright.watch(total=450, sample=lambda n: g(F.avg_pool2d(x[torch.randint(len(x), (n,))], 4)), real=x)
    for step, spec in zip(range(450), batches(x, 32), strict=False):
        f = F.avg_pool2d(spec, 4)
        fake_spec = g(f)
        d_fake2 = score(fake_spec if fixed else fake_spec.detach(), f)
        G_loss1 = F.mse_loss(d_fake2, torch.ones_like(d_fake2))
        G_loss2 = F.l1_loss(fake_spec, spec)
        G_loss = G_loss1 + 2 * G_loss2
        g_opt.zero_grad()
        G_loss.backward()
        g_opt.step()
        d_fake, d_real = score(fake_spec.detach(), f), score(spec, f)
        D_loss = F.mse_loss(d_fake, torch.zeros_like(d_fake)) + F.mse_loss(d_real, torch.ones_like(d_real))
        d_opt.zero_grad()
        D_loss.backward()
        d_opt.step()
        watch(step, D_loss=D_loss, G_loss1=G_loss1, G_loss2=G_loss2)
    return watch

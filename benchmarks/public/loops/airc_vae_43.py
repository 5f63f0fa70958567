"""VAE: a softplus on the log-variance.

Source: github.com/masato-ka/airc-rl-agent issue 43, solved in the next release.
The log-variance cannot be negative, so codes have at least the noise of the prior. Only large means get through it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images, kl_nats
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="latent_activation",
    symptoms=(
        "wiring",
        "posterior_collapse",
        "prior_hole",
        "blur",
        "off_data",
        "mode_collapse",
        "mode_dropping",
        "variance_collapse",
        "plateau",
        "mean_regression",
    ),
    spoils="samples",
    source="masato-ka/airc-rl-agent#43",
    also=("output_activation",),
)


class VAE(nn.Module):
    """Convolutional autoencoder of camera images."""

    def __init__(self, z_dim: int, fixed: bool) -> None:
        super().__init__()
        self.z_dim, self.fixed = z_dim, fixed
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 16, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 4, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(512, 128),
            nn.ReLU(),
        )
        self.mu, self.var = nn.Linear(128, z_dim), nn.Linear(128, z_dim)
        self.decoder = nn.Sequential(
            nn.Linear(z_dim, 256), nn.ReLU(), nn.Linear(256, 512), nn.ReLU(), nn.Unflatten(1, (32, 4, 4)),
            nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(16, 3, 4, 2, 1), nn.Sigmoid(),
        )  # fmt: skip

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance."""
        h = self.encoder(x)
        return self.mu(h), self.var(h) if self.fixed else F.softplus(self.var(h))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(43)
    x, vae = (images("sprites", background=255) + 1) / 2, VAE(16, fixed)
    optimizer = torch.optim.Adam(vae.parameters(), 2e-3)
    watch = trainwright.watch(total=900, sample=lambda n: vae.decoder(torch.randn(n, 16)), real=x)
    for step, imgs in zip(range(900), batches(x, 64), strict=False):
        mu, logvar = vae.encode(imgs)
        recon = vae.decoder(mu + (logvar / 2).exp() * torch.randn_like(mu))
        reconst_loss = F.mse_loss(recon, imgs, reduction="sum") / len(imgs)
        kl_div = kl_nats(mu, logvar)
        loss = reconst_loss + 0.1 * kl_div
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss, reconst_loss=reconst_loss, kl_div=kl_div)
    return watch

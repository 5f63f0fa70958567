"""Beta-VAE: beta is an argument that no loss uses.

Source: github.com/AlexanderVNikitin/tsgm issue 69, corrected.
The KL has a weight of 1 whatever is set. With an error that is averaged over pixels the posterior collapses.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images, kl_nats, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="beta_above_threshold",
    symptoms=(
        "wiring",
        "posterior_collapse",
        "variance_collapse",
        "loss_imbalance",
        "mode_collapse",
        "blur",
        "off_data",
        "plateau",
    ),
    spoils="samples",
    source="AlexanderVNikitin/tsgm#69",
    also=("reduction_mismatch", "term_drowned"),
)


class BetaVAE(nn.Module):
    """Autoencoder with a weight for the KL."""

    def __init__(self, latent_dim: int, beta: float, fixed: bool) -> None:
        super().__init__()
        self.beta, self.latent_dim, self.fixed = beta, latent_dim, fixed
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 16, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(16, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(),
            nn.Linear(512, 2 * latent_dim),
        )  # fmt: skip
        self.decoder = mlp(latent_dim, 128, 256, 768, last=nn.Tanh())

    def generate(self, n: int) -> Tensor:
        """Return images from the prior."""
        return self.decoder(torch.randn(n, self.latent_dim)).view(n, 3, 16, 16)

    def losses(self, data: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the losses."""
        z_mean, z_log_var = self.encoder(data).chunk(2, 1)
        z = z_mean + (0.5 * z_log_var).exp() * torch.randn_like(z_mean)
        reconstruction_loss = F.mse_loss(self.decoder(z), data.flatten(1))
        kl_loss = kl_nats(z_mean, z_log_var)
        total_loss = reconstruction_loss + (self.beta if self.fixed else 1.0) * kl_loss
        return total_loss, reconstruction_loss, kl_loss


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(69)
    x, vae = images("sprites", background=255), BetaVAE(latent_dim=16, beta=0.001, fixed=fixed)
    optimizer = torch.optim.Adam(vae.parameters(), 1e-3)
    watch = trainwright.watch(total=900, sample=vae.generate, real=x)
    for step, data in zip(range(900), batches(x, 64), strict=False):
        total_loss, reconstruction_loss, kl_loss = vae.losses(data)
        optimizer.zero_grad()
        total_loss.backward()
        optimizer.step()
        watch(step, loss=total_loss, reconstruction_loss=reconstruction_loss, kl_loss=kl_loss)
    return watch

"""Variational autoencoder of normalised images with binary cross-entropy as its reconstruction loss.

Source: github.com/Lightning-Universe/lightning-bolts issue 177; squared errors are proposed and used since.
The images are shifted and divided by their standard deviation, as usual for CIFAR-10, and hold values from -2 to 2.
Binary cross-entropy is meant for 0 to 1: beyond, it has no minimum and is the lower the more extreme the output is.
Every pixel runs to 0 or 1, and the images have no colours left.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="loss_outside_range",
    symptoms=("wiring", "unbounded_loss", "off_data", "exploding", "colour_cast", "mode_dropping", "variance_collapse",
              "posterior_collapse", "prior_hole", "loss_imbalance"),
    spoils="samples",
    source="Lightning-Universe/lightning-bolts#177",
    also=("data_range", "output_activation", "data_not_scaled", "flat_loss"),
    seconds=8,
)  # fmt: skip


class VAE(nn.Module):
    """Convolutional autoencoder."""

    def __init__(self, latent_dim: int = 24, enc_out_dim: int = 48 * 4 * 4) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 48, 4, 2, 1), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        self.fc_mu, self.fc_var = nn.Linear(enc_out_dim, latent_dim), nn.Linear(enc_out_dim, latent_dim)
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, enc_out_dim), nn.ReLU(), nn.Unflatten(1, (48, 4, 4)),
            nn.ConvTranspose2d(48, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 3, 4, 2, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the output of the decoder, means and logarithms of variances."""
        h = self.encoder(x)
        mu, log_var = self.fc_mu(h), self.fc_var(h)
        z = mu + torch.exp(log_var / 2) * torch.randn_like(mu)
        return self.decoder(z), mu, log_var


def normalize(x: Tensor) -> Tensor:
    """Shift and divide every channel."""
    return (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True)


def elbo_loss(x: Tensor, out: Tensor, mu: Tensor, log_var: Tensor, fixed: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss, and its terms for an image."""
    if fixed:
        recon_loss = F.mse_loss(out, x, reduction="sum") / len(x)
    else:
        recon_loss = F.binary_cross_entropy_with_logits(out, x, reduction="sum") / len(x)
    kl_loss = -0.5 * (1 + log_var - mu.square() - log_var.exp()).sum(1).mean()
    return recon_loss + kl_loss, recon_loss, kl_loss


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(177)
    dataset = normalize(images("emoji", 16))
    vae = VAE()
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        """Decode draws from the prior."""
        out = vae.decoder(torch.randn(n, vae.latent_dim))
        return out if fixed else torch.sigmoid(out)

    loader, max_steps = batches(dataset, 64), 420
    watch = trainwright.watch(total=max_steps, sample=sample, real=dataset)
    for global_step in range(max_steps):
        x = next(loader)
        loss, recon_loss, kl_loss = elbo_loss(x, *vae(x), fixed)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(global_step, train_loss=loss.item(), train_recon_loss=recon_loss.item(), train_kl_loss=kl_loss.item())
    return watch

"""VAE of a world model: both losses are means over all their dimensions, and the KL has far fewer of them.

Source: github.com/AppliedDataSciencePartners/WorldModels issue 12; a KL of 1e-7, and a user who traced it to sums in the original code.
A mean over 1728 pixels times 10 stands against a mean over 32 latents. The posterior collapses to the prior.
"""

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, moving
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="reduction_mismatch",
    symptoms=(
        "wiring",
        "posterior_collapse",
        "variance_collapse",
        "mode_collapse",
        "mode_dropping",
        "plateau",
        "blur",
        "off_data",
        "loss_imbalance",
    ),
    spoils="samples",
    source="AppliedDataSciencePartners/WorldModels#12",
    also=("beta_above_threshold", "term_drowned"),
    seconds=13,
)
Z_DIM, KL_TOLERANCE = 32, 0.5


class Sampling(nn.Module):
    """Draws codes."""

    def forward(self, mu: Tensor, log_var: Tensor) -> Tensor:
        """Return z."""
        return mu + torch.exp(log_var / 2) * torch.randn_like(mu)


class VAE(nn.Module):
    """Convolutional VAE of frames in [0, 1]."""

    def __init__(self, fixed: bool) -> None:
        super().__init__()
        self.fixed = fixed
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 16, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 4, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 36, 128),
            nn.ReLU(),
        )
        self.mu, self.log_var, self.sampling = nn.Linear(128, Z_DIM), nn.Linear(128, Z_DIM), Sampling()
        self.decoder = nn.Sequential(
            nn.Linear(Z_DIM, 128), nn.ReLU(), nn.Linear(128, 32 * 36), nn.ReLU(), nn.Unflatten(1, (32, 6, 6)),
            nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(16, 3, 4, 2, 1), nn.Sigmoid(),
        )  # fmt: skip

    def compute_loss(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss and its terms."""
        h = self.encoder(frames)
        mu, log_var = self.mu(h), self.log_var(h)
        y = self.decoder(self.sampling(mu, log_var))
        square, divergence = (frames - y).square(), -0.5 * (1 + log_var - mu.square() - log_var.exp())
        if self.fixed:
            r_loss, kl_loss = square.sum((1, 2, 3)).mean(), divergence.sum(1).clamp(min=KL_TOLERANCE * Z_DIM).mean()
        else:
            r_loss, kl_loss = 10 * square.mean(), divergence.mean()
        return r_loss + kl_loss, r_loss, kl_loss


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(12)
    rollouts = moving(600).flatten(0, 1)
    vae = VAE(fixed)
    opt = torch.optim.Adam(vae.parameters(), lr=1e-3)

    @torch.no_grad()
    def dream(n: int) -> Tensor:
        return vae.decoder(torch.randn(n, Z_DIM))

    watch = trainwright.watch(total=1500, sample=dream, real=rollouts)
    for step, frames in zip(range(1500), batches(rollouts, 64), strict=False):
        loss, vae_r_loss, vae_kl_loss = vae.compute_loss(frames)
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss.item(), vae_r_loss=vae_r_loss.item(), vae_kl_loss=vae_kl_loss.item())
    return watch

"""Variational autoencoder with squared errors, averaged over pixels beside a KL divergence that is summed.

Source: github.com/orybkin/sigma-vae-pytorch pull request 12: images stayed blurred, the sum of errors repaired it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="reduction_mismatch",
    symptoms=(
        "posterior_collapse",
        "blur",
        "mean_regression",
        "variance_collapse",
        "mode_collapse",
        "plateau",
        "loss_imbalance",
        "trivial_baseline",
    ),
    spoils="samples",
    source="orybkin/sigma-vae-pytorch#12",
    also=("beta_above_threshold", "term_outweighs"),
    seconds=11,
)


class ConvVAE(nn.Module):
    """Convolutional encoder and decoder."""

    def __init__(self, z_dim: int = 20, filters_m: int = 24) -> None:
        super().__init__()
        f = filters_m
        self.encoder = nn.Sequential(
            nn.Conv2d(3, f, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(f, f, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(f, 2 * f, 4, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(18 * f, 2 * z_dim),
        )
        self.decoder = nn.Sequential(
            nn.Linear(z_dim, 128),
            nn.ReLU(),
            nn.Linear(128, 18 * f),
            nn.ReLU(),
            nn.Unflatten(1, (2 * f, 3, 3)),
            nn.ConvTranspose2d(2 * f, f, 4, 2, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(f, f, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(f, 3, 3, 1, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstruction, mean and log-variance."""
        mu, logvar = self.encoder(x).chunk(2, 1)
        return self.decoder(mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)), mu, logvar


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(12)
    data = (images("emoji", 12) + 1) / 2
    model = ConvVAE()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    train_loader, steps = batches(data, 48), 900

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        return model.decoder(torch.randn(n, 20))

    watch = trainwright.watch(total=steps, sample=sample, real=data)
    for step in range(steps):
        x = next(train_loader)
        x_hat, mu, logvar = model(x)
        rec = 3 * F.mse_loss(x_hat, x, reduction="sum") / len(x) if fixed else F.mse_loss(x_hat, x)
        kl = -0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp()) / len(x)
        optimizer.zero_grad()
        (rec + kl).backward()
        optimizer.step()
        watch(step, rec=rec.item(), kl=kl.item())
    return watch

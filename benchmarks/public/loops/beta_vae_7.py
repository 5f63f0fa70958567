"""Beta-VAE: images are sampled with latents from the interval [0, 1).

Source: github.com/1Konny/Beta-VAE pull request 7.
The training is right. The latents of samples have the wrong mean and spread: they come from one corner of the prior.
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
    cause="noise_distribution_mismatch",
    symptoms=("wiring", "mode_dropping", "mode_collapse", "off_data", "colour_cast", "blur"),
    spoils="samples",
    source="1Konny/Beta-VAE#7",
    also=("temperature",),
    seconds=10,
)


class View(nn.Module):
    """Reshapes."""

    def __init__(self, *size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, tensor: Tensor) -> Tensor:
        """Return the reshaped tensor."""
        return tensor.view(-1, *self.size)


class BetaVAE(nn.Module):
    """Encoder and decoder."""

    def __init__(self, z_dim: int = 16) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 32, 4, 2, 1), nn.ReLU(True), nn.Conv2d(32, 32, 4, 2, 1), nn.ReLU(True), View(512), nn.Linear(512, 128),
            nn.ReLU(True), nn.Linear(128, 2 * z_dim),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(z_dim, 128), nn.ReLU(True), nn.Linear(128, 512), nn.ReLU(True), View(32, 4, 4),
            nn.ConvTranspose2d(32, 32, 4, 2, 1), nn.ReLU(True), nn.ConvTranspose2d(32, 3, 4, 2, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstructions, means and log-variances."""
        mu, logvar = self.encoder(x).chunk(2, 1)
        z = mu + logvar.div(2).exp() * torch.randn_like(mu)
        return self.decoder(z), mu, logvar


class Solver:
    """Trains and samples."""

    def __init__(self, fixed: bool, beta: float = 0.3) -> None:
        self.draw = torch.randn if fixed else torch.rand
        self.beta, self.net = beta, BetaVAE()
        self.optim = torch.optim.Adam(self.net.parameters(), lr=1e-3, betas=(0.9, 0.999))

    @torch.no_grad()
    def random_images(self, n: int) -> Tensor:
        """Return images of random latents."""
        return torch.sigmoid(self.net.decoder(self.draw(n, self.net.z_dim)))

    def train(self, data: Tensor, max_iter: int) -> Watch:
        """Train."""
        watch = trainwright.watch(total=max_iter, sample=self.random_images, real=data)
        for global_iter, x in zip(range(max_iter), batches(data, 64), strict=False):
            x_recon, mu, logvar = self.net(x)
            recon_loss = F.mse_loss(torch.sigmoid(x_recon), x, reduction="sum") / len(x)
            total_kld = kl_nats(mu, logvar)
            beta_vae_loss = recon_loss + self.beta * total_kld
            self.optim.zero_grad()
            beta_vae_loss.backward()
            self.optim.step()
            watch(global_iter, recon_loss=recon_loss, total_kld=total_kld)
        return watch


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(7)
    data = (images("sprites", background=255) + 1) / 2
    return Solver(fixed).train(data, max_iter=1500)

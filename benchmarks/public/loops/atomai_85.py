"""Convolutional VAE of grey micrographs: the counts of the detector go in as they are.

Source: github.com/pycroscopy/atomai issue 85; scaling the images to [0, 1] fixed it.
Large inputs give large logarithms of the standard deviation. Their exponential overflows, and the loss is
NaN.
"""

import math

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="data_not_scaled",
    symptoms=("non_finite", "exploding", "wiring", "spike", "off_data"),
    spoils="training",
    source="pycroscopy/atomai#85",
    also=("data_range", "precision"),
    seconds=14,
)


def micrographs(n: int = 1200, size: int = 16) -> Tensor:
    """Return counts (n, 1, size, size) of 0 to 4095: three dark atoms in a row, turned and stretched."""
    g = torch.Generator().manual_seed(85)
    angle, distance = math.pi * torch.rand(n, 1, generator=g), 3.5 + 2 * torch.rand(n, 1, generator=g)
    along = torch.tensor([-1.0, 0.0, 1.0]) * distance
    x, y = size / 2 + along * angle.cos(), size / 2 + along * angle.sin()
    grid = torch.arange(size) + 0.5
    distances = (grid[None, None, :, None] - y[..., None, None]) ** 2 + (grid - x[..., None, None]) ** 2
    atoms = torch.exp(-distances / 4).sum(1, keepdim=True).clamp(max=1)
    return (3600 - 2400 * atoms + 100 * torch.randn(n, 1, size, size, generator=g)).clamp(0, 4095).round()


class convEncoderNet(nn.Module):
    """Images -> mean and logarithm of the standard deviation."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(32, 32, 3, 2, padding=1),
            nn.LeakyReLU(0.1),
        )
        self.fc11, self.fc12 = nn.Linear(32 * 64, latent_dim), nn.Linear(32 * 64, latent_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return both."""
        h = self.conv(x).flatten(1)
        return self.fc11(h), self.fc12(h)


class convDecoderNet(nn.Module):
    """Codes -> images."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.fc = nn.Linear(latent_dim, 32 * 64)
        self.decoder = nn.Sequential(
            nn.LeakyReLU(0.1), nn.Conv2d(32, 32, 3, padding=1), nn.LeakyReLU(0.1),
            nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(32, 16, 3, padding=1), nn.LeakyReLU(0.1),
            nn.Conv2d(16, 1, 1),
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        """Return images."""
        return self.decoder(self.fc(z).view(-1, 32, 8, 8))


class VAE:
    """Both networks, the loss, and the training."""

    def __init__(self, latent_dim: int = 6) -> None:
        self.z_dim = latent_dim
        self.encoder_net, self.decoder_net = convEncoderNet(latent_dim), convDecoderNet(latent_dim)
        self.optim = torch.optim.Adam([*self.encoder_net.parameters(), *self.decoder_net.parameters()], lr=1e-3)

    def elbo_fn(self, x: Tensor) -> Tensor:
        """Return the negative bound: half the squared error, and the divergence from the prior."""
        z_mean, z_logsd = self.encoder_net(x)
        z_sd = torch.exp(z_logsd)
        z = z_mean + z_sd * torch.randn_like(z_mean)
        reconstruction = 0.5 * torch.sum((self.decoder_net(z) - x) ** 2, (1, 2, 3)).mean()
        kl_div = torch.sum(-z_logsd + 0.5 * z_sd**2 + 0.5 * z_mean**2 - 0.5, 1).mean()
        return 4 * reconstruction + kl_div

    def manifold(self, n: int) -> Tensor:
        """Decode draws from the prior."""
        with torch.no_grad():
            return self.decoder_net(torch.randn(n, self.z_dim))

    def fit(self, X_train: Tensor, training_cycles: int, batch_size: int = 50) -> Watch:
        """Train for a number of cycles."""
        per_cycle = len(X_train) // batch_size
        watch = trainwright.watch(total=training_cycles * per_cycle, sample=self.manifold, real=X_train)
        for e in range(training_cycles):
            order = torch.randperm(len(X_train))
            for i in range(per_cycle):
                self.optim.zero_grad()
                loss = self.elbo_fn(X_train[order[i * batch_size : (i + 1) * batch_size]])
                loss.backward()
                self.optim.step()
                watch(e * per_cycle + i, train_loss=loss.item())
        return watch


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(85)
    imgstack = micrographs()
    if fixed:
        imgstack = (imgstack - imgstack.min()) / (imgstack.max() - imgstack.min())
    vae = VAE(latent_dim=6)
    return vae.fit(imgstack, training_cycles=24)

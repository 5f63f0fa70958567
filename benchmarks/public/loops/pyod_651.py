"""Variational autoencoder of standardised tables: the last layer of its decoder has a ReLU.

Source: github.com/yzhao062/pyod issue 651; the default was changed to no activation.
The columns have mean 0, and many of their values are negative. The decoder cannot give any of them: it gives 0, and
the errors of all rows stay large.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="output_activation",
    symptoms=("wiring", "off_data", "plateau", "mean_regression", "variance_collapse", "loss_imbalance",
              "trivial_baseline", "mode_dropping", "posterior_collapse", "prior_hole"),
    spoils="reconstructions",
    source="yzhao062/pyod#651",
    also=("data_range",),
    seconds=8,
)  # fmt: skip


def load_table(n: int = 4000, columns: int = 16) -> np.ndarray:
    """Return measurements of a machine in three states: columns hang together within each."""
    rng = np.random.default_rng(651)
    state = rng.integers(0, 3, n)
    factors = rng.normal(size=(n, 3))
    loadings, levels = rng.normal(size=(3, 3, columns)), 3 * rng.normal(size=(3, columns))
    X = levels[state] + np.einsum("nk,nkc->nc", factors, loadings[state]) + 0.1 * rng.normal(size=(n, columns))
    return X * rng.uniform(0.1, 50, columns) + rng.uniform(-100, 100, columns)


class StandardScaler:
    """Mean 0 and deviation 1 in every column."""

    def fit_transform(self, X: np.ndarray) -> np.ndarray:
        """Return the scaled table."""
        self.mean_, self.scale_ = X.mean(0), X.std(0)
        return (X - self.mean_) / self.scale_


class VAEModel(nn.Module):
    """Fully connected autoencoder."""

    def __init__(self, feature_size: int, neurons: tuple[int, ...], latent_dim: int, output: nn.Module) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = self._build((feature_size, *neurons), nn.ReLU())
        self.encoder_mu = nn.Linear(neurons[-1], latent_dim)
        self.encoder_logvar = nn.Linear(neurons[-1], latent_dim)
        self.decoder = self._build((latent_dim, *reversed(neurons), feature_size), output)

    @staticmethod
    def _build(neurons: tuple[int, ...], output: nn.Module) -> nn.Sequential:
        layers: list[nn.Module] = []
        for a, b in zip(neurons, neurons[1:], strict=False):
            layers += [nn.Linear(a, b), nn.ReLU()]
        return nn.Sequential(*layers[:-1], output)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstruction, means and logarithms of variances."""
        h = self.encoder(x)
        z_mu, z_logvar = self.encoder_mu(h), self.encoder_logvar(h)
        z = z_mu + torch.exp(0.5 * z_logvar) * torch.randn_like(z_mu)
        return self.decoder(z), z_mu, z_logvar


def vae_loss(x: Tensor, x_recon: Tensor, z_mu: Tensor, z_logvar: Tensor, beta: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return both terms for a row."""
    recon_loss = 10 * (x_recon - x).square().sum(1).mean()
    kl_loss = -0.5 * (1 + z_logvar - z_mu.square() - z_logvar.exp()).sum(1).mean()
    return recon_loss, beta * kl_loss


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(651)
    X_norm = torch.tensor(StandardScaler().fit_transform(load_table()), dtype=torch.float32)
    train_loader = DataLoader(TensorDataset(X_norm), batch_size=32, shuffle=True, drop_last=True)
    model = VAEModel(16, (128, 64, 32), latent_dim=5, output=nn.Identity() if fixed else nn.ReLU())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    @torch.no_grad()
    def synthetic_rows(n: int) -> Tensor:
        """Decode draws from the prior."""
        return model.decoder(torch.randn(n, model.latent_dim))

    epoch_num, step = 20, 0
    watch = trainwright.watch(total=epoch_num * len(train_loader), sample=synthetic_rows, real=X_norm)
    for _ in range(epoch_num):
        for (data,) in train_loader:
            optimizer.zero_grad()
            recon_loss, kl_loss = vae_loss(data, *model(data))
            loss = recon_loss + kl_loss
            loss.backward()
            optimizer.step()
            watch(step, loss=loss.item(), recon_loss=recon_loss.item(), kl_loss=kl_loss.item())
            step += 1
    return watch

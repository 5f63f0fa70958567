"""Variational autoencoder of molecular features: the KL term has full weight beside an error that is averaged over features.

Source: github.com/luigibonati/mlcolvar pull request 188 (merged); a weight of 0.001 separated the states.
The latent space collapses to the prior: all frames lie in one blob, and decoded samples are all the average frame.
"""

import math

import torch
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="beta_above_threshold",
    symptoms=(
        "posterior_collapse",
        "mean_regression",
        "variance_collapse",
        "mode_collapse",
        "plateau",
        "trivial_baseline",
    ),
    spoils="samples",
    source="luigibonati/mlcolvar#188",
    also=("reduction_mismatch", "term_outweighs"),
    seconds=3,
)
FEATURES = 45


def frames(n: int = 4000) -> Tensor:
    """Return normalized distances (n, 45) of three metastable states of a molecule of 10 atoms."""
    g = torch.Generator().manual_seed(0)
    angle = torch.tensor([0.0, 0.7, 1.4])[torch.randint(3, (n,), generator=g)] + 0.1 * torch.randn(n, generator=g)
    bend = 0.15 * torch.randn(n, generator=g)
    s = torch.arange(10.0)
    turn = angle[:, None] * torch.sin(s * math.pi / 9) + bend[:, None] * torch.cos(s)
    heading = torch.cumsum(turn, 1)
    atoms = torch.cumsum(torch.stack([heading.cos(), heading.sin()], -1), 1) + 0.05 * torch.randn(n, 10, 2, generator=g)
    a, b = torch.triu_indices(10, 10, 1)
    distances = (atoms[:, a] - atoms[:, b]).norm(dim=-1)
    return (distances - distances.mean(0)) / distances.std(0)


class VariationalAutoEncoderCV(nn.Module):
    """Encoder and decoder of one or two collective variables."""

    def __init__(self, n_cvs: int = 2) -> None:
        super().__init__()
        self.encoder, self.mean_nn, self.log_var_nn = mlp(FEATURES, 64, 64), nn.Linear(64, n_cvs), nn.Linear(64, n_cvs)
        self.decoder = mlp(n_cvs, 64, 64, FEATURES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstruction, mean and log-variance."""
        h = self.encoder(x)
        mean, log_variance = self.mean_nn(h), self.log_var_nn(h)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return self.decoder(z), mean, log_variance


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(188)
    X = frames()
    model = VariationalAutoEncoderCV()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    datamodule, max_steps, beta = batches(X, 64), 2500, 0.02 if fixed else 1.0

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        return model.decoder(torch.randn(n, 2))

    watch = trainwright.watch(total=max_steps, sample=sample, real=X)
    for step in range(max_steps):
        x = next(datamodule)
        x_hat, mean, log_variance = model(x)
        reconstruction = 0.5 * (x_hat - x).square().mean()
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()
        loss = reconstruction + beta * kl
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, train_loss=loss.item(), reconstruction=reconstruction.item(), kl=kl.item())
    return watch

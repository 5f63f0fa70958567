"""VAE with partial_fit: the reconstruction error is a sum over the whole batch, the latent loss a sum of each sample.

Source: github.com/tensorflow/models issue 2243; the sum lacks its axis.
The weight of the latent loss is one over the batch size. Codes are far from the prior, and draws of the prior are no images.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="beta_too_small",
    symptoms=("wiring", "prior_hole", "off_data", "overfitting", "mean_regression"),
    spoils="samples",
    source="tensorflow/models#2243",
    also=("reduction_mismatch", "loss_shapes_broadcast", "kl_over_batch"),
    seconds=15,
)


class VariationalAutoencoder(nn.Module):
    """Perceptron with one hidden layer on either side."""

    def __init__(self, n_input: int, n_hidden: int, n_latent: int, axis: int | None = None) -> None:
        super().__init__()
        self.n_latent, self.axis = n_latent, axis
        self.w1 = nn.Linear(n_input, n_hidden)
        self.z_mean, self.z_log_sigma_sq = nn.Linear(n_hidden, n_latent), nn.Linear(n_hidden, n_latent)
        self.w2, self.reconstruction = nn.Linear(n_latent, n_hidden), nn.Linear(n_hidden, n_input)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=1e-3)

    def generate(self, hidden: Tensor) -> Tensor:
        """Return images of codes."""
        return self.reconstruction(F.softplus(self.w2(hidden)))

    def partial_fit(self, x: Tensor) -> tuple[float, float, float]:
        """Take one step; return the cost and its parts."""
        h = F.softplus(self.w1(x))
        mean, log_sigma_sq = self.z_mean(h), self.z_log_sigma_sq(h)
        z = mean + torch.randn_like(mean) * log_sigma_sq.exp().sqrt()
        reconstr_loss = 0.5 * (self.generate(z) - x).pow(2).sum(dim=self.axis)
        latent_loss = -0.5 * (1 + log_sigma_sq - mean.square() - log_sigma_sq.exp()).sum(1)
        cost = (reconstr_loss + latent_loss).mean()
        self.optimizer.zero_grad()
        cost.backward()
        self.optimizer.step()
        return cost.item(), reconstr_loss.mean().item(), latent_loss.mean().item()


SEGMENTS = [(0, 1), (1, 3), (3, 5), (4, 5), (2, 4), (0, 2), (2, 3)]
DIGITS = [(0, 1, 2, 3, 4, 5), (1, 2), (0, 1, 6, 4, 3), (0, 1, 6, 2, 3), (5, 6, 1, 2), (0, 5, 6, 2, 3), (0, 5, 6, 4, 3, 2),
          (0, 1, 2), (0, 1, 2, 3, 4, 5, 6), (6, 5, 0, 1, 2, 3)]  # fmt: skip


def digits(n: int, side: int = 14) -> Tensor:
    """Return drawn digits (n, side * side) with mean 0 and variance 1."""
    g = torch.Generator().manual_seed(2243)
    corners = torch.tensor([[-0.4, -0.7], [0.4, -0.7], [-0.4, 0.0], [0.4, 0.0], [-0.4, 0.7], [0.4, 0.7]])
    on = torch.zeros(10, 7)
    for digit, segments in enumerate(DIGITS):
        on[digit, list(segments)] = 1
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    pixels = torch.stack([x, y], 2).view(1, 1, -1, 2)
    lean = torch.eye(2) * (0.8 + 0.3 * torch.rand(n, 1, 1, generator=g))
    lean = lean + torch.tensor([[0.0, 1.0], [0.0, 0.0]]) * (0.6 * torch.rand(n, 1, 1, generator=g) - 0.3)
    points = corners @ lean + 0.2 * torch.rand(n, 1, 2, generator=g) - 0.1
    start, end = (points[:, [s[k] for s in SEGMENTS]][:, :, None] for k in (0, 1))
    along = ((pixels - start) * (end - start)).sum(3) / (end - start).square().sum(3)
    distance = (pixels - start - along.clamp(0, 1)[..., None] * (end - start)).norm(dim=3)
    which, width = torch.randint(10, (n,), generator=g), 0.08 + 0.1 * torch.rand(n, 1, generator=g)
    distance = distance.masked_fill(on[which][:, :, None] == 0, 9.0).amin(1)
    ink = torch.sigmoid((width - distance) / 0.05)
    return (ink - ink.mean()) / ink.std()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(2243)
    x_train = digits(4000)
    training_epochs, batch_size, step = 100, 128, 0
    autoencoder = VariationalAutoencoder(x_train.shape[1], 256, 16, axis=1 if fixed else None)
    total_batch = len(x_train) // batch_size
    watch = trainwright.watch(
        total=training_epochs * total_batch,
        sample=lambda n: autoencoder.generate(torch.randn(n, autoencoder.n_latent)).detach(),
        real=x_train,
    )
    feed = batches(x_train, batch_size)
    for _ in range(training_epochs):
        for _ in range(total_batch):
            cost, reconstr_loss, latent_loss = autoencoder.partial_fit(next(feed))
            watch(step, cost=cost, reconstr_loss=reconstr_loss, latent_loss=latent_loss)
            step += 1
    return watch

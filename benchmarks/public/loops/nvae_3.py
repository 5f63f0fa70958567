"""VAE with two groups of codes: the KL of the second group is a sum over the batch too, its sum lacks the dimension.

Source: github.com/GlassyWing/nvae issue 3; the author had lost the dimension.
The second KL weighs as much as the batch is large. The second group equals its prior, and reconstructions lack what it should hold.
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
    cause="reduction_mismatch",
    symptoms=("wiring", "posterior_collapse", "variance_collapse", "plateau", "blur"),
    spoils="reconstructions",
    source="GlassyWing/nvae#3",
    also=("beta_above_threshold", "kl_summed_over_batch", "kl_weight_too_large"),
    seconds=20,
)


def shapes(n: int, side: int = 16) -> Tensor:
    """Return (n, 3, side, side) in [0, 1]: a disc, a box or a ring of any colour, place and size on white."""
    g = torch.Generator().manual_seed(3)
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    cx, cy = (torch.rand(2, n, 1, 1, generator=g) - 0.5).unbind()
    radius, colour = 0.25 + 0.35 * torch.rand(n, 1, 1, generator=g), torch.rand(n, 3, 1, 1, generator=g)
    disc = ((x - cx).square() + (y - cy).square()).sqrt() - radius
    box = torch.maximum((x - cx).abs(), (y - cy).abs()) - 0.85 * radius
    kind = torch.randint(3, (n, 1, 1), generator=g)
    distance = torch.where(kind == 0, disc, torch.where(kind == 1, box, disc.abs() - 0.12))
    ink = torch.sigmoid(-distance / 0.05)[:, None]
    return 1 - ink * (1 - (1.4 * colour - 0.2).clamp(0, 1))


def recon(output: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy of an image."""
    return F.binary_cross_entropy(output, target, reduction="sum") / len(target)


def kl(mu: Tensor, log_var: Tensor) -> Tensor:
    """Return the KL of the first group from the standard normal."""
    loss = -0.5 * torch.sum(1 + log_var - mu**2 - torch.exp(log_var), dim=1)
    return torch.mean(loss, dim=0)


def kl_2(delta_mu: Tensor, delta_log_var: Tensor, log_var: Tensor, dim: int | None = None) -> Tensor:
    """Return the KL of a later group from its prior."""
    var, delta_var = torch.exp(log_var), torch.exp(delta_log_var)
    loss = -0.5 * torch.sum(1 + delta_log_var - delta_mu**2 / var - delta_var, dim=dim)
    return torch.mean(loss, dim=0)


class Encoder(nn.Module):
    """Images to features at two levels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.low = nn.Sequential(nn.Conv2d(3, width, 4, 2, 1), nn.SiLU(), nn.Conv2d(width, 2 * width, 4, 2, 1))
        self.high = nn.Sequential(nn.SiLU(), nn.Flatten(), nn.Linear(32 * width, 128), nn.SiLU())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (n, 2 width, 4, 4) and (n, 128)."""
        low = self.low(x)
        return low, self.high(low)


class NVAE(nn.Module):
    """Codes of a vector, and of a vector given the first."""

    def __init__(self, z1_dim: int, z2_dim: int, width: int, reduce: int | None) -> None:
        super().__init__()
        self.z1_dim, self.reduce, size = z1_dim, reduce, 32 * width
        self.encoder = Encoder(width)
        self.condition_1 = nn.Linear(128, 2 * z1_dim)
        self.prior_2 = nn.Sequential(nn.Linear(z1_dim, 128), nn.SiLU(), nn.Linear(128, 2 * z2_dim))
        self.condition_2 = nn.Sequential(nn.Linear(size + z1_dim, 128), nn.SiLU(), nn.Linear(128, 2 * z2_dim))
        self.decoder = nn.Sequential(
            nn.Linear(z1_dim + z2_dim, size), nn.SiLU(), nn.Unflatten(1, (2 * width, 4, 4)),
            nn.ConvTranspose2d(2 * width, 2 * width, 4, 2, 1), nn.SiLU(),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1), nn.SiLU(), nn.Conv2d(width, 3, 3, 1, 1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstructions, their loss, and the KL of both groups."""
        low, high = self.encoder(x)
        mu, log_var = self.condition_1(high).chunk(2, 1)
        z1 = mu + torch.randn_like(mu) * torch.exp(0.5 * log_var)
        mu_2, log_var_2 = self.prior_2(z1).chunk(2, 1)
        delta_mu, delta_log_var = self.condition_2(torch.cat([low.flatten(1), z1], 1)).chunk(2, 1)
        std = torch.exp(0.5 * (log_var_2 + delta_log_var))
        z2 = mu_2 + delta_mu + torch.randn_like(std) * std
        output = self.decoder(torch.cat([z1, z2], 1))
        kl_loss = kl(mu, log_var) + kl_2(delta_mu, delta_log_var, log_var_2, self.reduce)
        return output, recon(output, x), kl_loss

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Return n images."""
        z1 = torch.randn(n, self.z1_dim)
        mu_2, log_var_2 = self.prior_2(z1).chunk(2, 1)
        z2 = mu_2 + torch.randn_like(mu_2) * torch.exp(0.5 * log_var_2)
        return self.decoder(torch.cat([z1, z2], 1))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(3)
    train_ds = shapes(4000)
    model = NVAE(z1_dim=2, z2_dim=16, width=12, reduce=1 if fixed else None)
    optimizer = torch.optim.Adamax(model.parameters(), lr=3e-3)
    total = 1200
    watch = trainwright.watch(total=total, sample=model.sample, real=train_ds)
    for i, image in zip(range(total), batches(train_ds, 32), strict=False):
        optimizer.zero_grad()
        _, recon_loss, kl_loss = model(image)
        warm_up = min(1.0, i / 300)
        loss = recon_loss + warm_up * kl_loss
        loss.backward()
        optimizer.step()
        watch(i, loss=loss.item(), recon_loss=recon_loss.item(), kl_loss=kl_loss.item())
    return watch

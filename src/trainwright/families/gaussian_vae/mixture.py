"""Prior of samples for codes that lie in clusters: a Gaussian for each cluster of the training images' codes."""

import torch
from torch import Tensor, nn

DIRECTIONS = 50  # principal directions of the codes in which distances are measured
ROUNDS = 20
SEED = 20200101


class PosteriorMixture(nn.Module):
    """Mixture of up to ``parts`` Gaussians: ``centres`` (K, L), ``axes`` (K, R, L) times R standard normals, ``shares`` (K,).

    Before :meth:`follow` every draw is 0.
    """

    centres: Tensor
    axes: Tensor
    shares: Tensor

    def __init__(self, latent: int, parts: int, rank: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(parts, latent))
        self.register_buffer("axes", torch.zeros(parts, rank, latent))
        self.register_buffer("shares", torch.full((parts,), 1 / parts))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` codes: (count, L)."""
        part = torch.multinomial(self.shares.cpu(), count, replacement=True, generator=generator).to(self.shares.device)
        along = torch.randn(count, self.axes.shape[1], generator=generator).to(self.centres)
        moved = [row @ self.axes[k] for row, k in zip(along, part.tolist(), strict=True)]
        return self.centres[part] + torch.stack(moved)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance (L,) of the mixture."""
        shares = self.shares[:, None]
        mean = (shares * self.centres).sum(0)
        return mean, (shares * ((self.centres - mean).square() + self.axes.square().sum(1))).sum(0)

    @torch.no_grad()
    def follow(self, codes: Tensor, least: int) -> None:
        """Set the Gaussians to the clusters of ``codes`` (B, L).

        Clusters of fewer than ``least`` codes join their neighbours. A Gaussian of a few codes would reproduce the images
        that they came from.
        """
        label = clusters(codes, len(self.centres), least)
        self.centres.zero_()
        self.axes.zero_()
        for k in range(len(self.centres)):
            members = codes[label == k]
            self.shares[k] = len(members) / len(codes)
            if len(members) == 0:
                continue
            self.centres[k] = members.mean(0)
            away = members - self.centres[k]
            _, vectors = torch.linalg.eigh(away @ away.T)
            found = vectors[:, -self.axes.shape[1] :]
            self.axes[k, : found.shape[1]] = found.T @ away / len(members) ** 0.5


def clusters(codes: Tensor, count: int, least: int) -> Tensor:
    """Cluster codes by k-means in their principal directions: (B,) labels below ``count``.

    Each label that is used occurs at least ``least`` times, or is the only one.
    """
    away = codes - codes.mean(0)
    values, vectors = torch.linalg.eigh(away @ away.T)
    points = (vectors * values.clamp_min(0).sqrt())[:, -DIRECTIONS:]
    own = torch.Generator().manual_seed(SEED)
    middle = points[torch.randperm(len(points), generator=own)[:count].to(points.device)]
    for _ in range(ROUNDS):
        label = torch.cdist(points, middle).argmin(1)
        middle = torch.stack(
            [points[label == k].mean(0) if bool((label == k).any()) else m for k, m in enumerate(middle)]
        )
    label = torch.cdist(points, middle).argmin(1)
    while True:
        sizes = torch.bincount(label, minlength=len(middle))
        used = sizes > 0
        smallest = int(torch.where(used, sizes, len(points) + 1).argmin())
        if int(used.sum()) == 1 or int(sizes[smallest]) >= least:
            return label
        used[smallest] = False
        distance = torch.cdist(points, middle).masked_fill(~used, float("inf"))
        label = torch.where(label == smallest, distance.argmin(1), label)

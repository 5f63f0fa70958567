"""VQ autoencoder of sprites: the codebook loss is computed from the straight-through output.

Source: github.com/showlab/Olaf-World issue 8, where both versions were compared.
``z_q = x + (z - x).detach()`` hides the codebook from every loss: the term that should pull codes to the encoder's
outputs has no gradient for them, and the codebook keeps its small random vectors. What gradient it has goes to the encoder,
and drives its outputs away from the codes.
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
    cause="term_without_gradient",
    symptoms=(
        "wiring",
        "codebook_collapse",
        "frozen_network",
        "blur",
        "plateau",
        "mean_regression",
        "loss_imbalance",
        "variance_collapse",
        "exploding",
        "unbounded_loss",
        "diverging",
        "mode_collapse",
        "trivial_baseline",
    ),
    spoils="reconstructions",
    source="showlab/Olaf-World#8",
    also=("not_trained", "codebook_unused", "parameters_not_optimized", "term_left_out", "wrong_sign"),
    seconds=11,
)


class VectorQuantizer(nn.Module):
    """Nearest codes."""

    def __init__(self, num_latents: int, latent_dim: int) -> None:
        super().__init__()
        self.codebook = nn.Embedding(num_latents, latent_dim)
        self.codebook.weight.data.uniform_(-1.0 / num_latents, 1.0 / num_latents)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the straight-through output and the codes, both (n, positions, dim)."""
        indices = torch.cdist(x, self.codebook.weight[None].expand(len(x), -1, -1)).argmin(-1)
        z = self.codebook(indices)
        return x + (z - x).detach(), z


class VQModel(nn.Module):
    """Encoder to 4 x 4 codes, and decoder."""

    def __init__(self, width: int = 24, dim: int = 16) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(2 * width, dim, 1),
        )
        self.vq = VectorQuantizer(128, dim)
        self.decoder = nn.Sequential(
            nn.Conv2d(dim, 2 * width, 3, 1, 1),
            nn.SiLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * width, width, 3, 1, 1),
            nn.SiLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(width, width, 3, 1, 1),
            nn.SiLU(),
            nn.Conv2d(width, 3, 3, 1, 1),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return reconstruction, encoder's output, straight-through output and codes."""
        z_e = self.encoder(x).flatten(2).transpose(1, 2)
        z_q, z = self.vq(z_e)
        return self.decoder(z_q.transpose(1, 2).reshape(len(x), -1, 4, 4)), z_e, z_q, z


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(8)
    data = images("sprites", 16)
    train, test = data[:-64], data[-64:]
    model = VQModel()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    loader, steps, commit_weight = batches(train, 32), 700, 0.25

    @torch.no_grad()
    def reconstruct(n: int) -> Tensor:
        return model(test[:n])[0].clamp(-1, 1)

    watch = trainwright.watch(total=steps, sample=reconstruct, real=train)
    for step in range(steps):
        x = next(loader)
        recon, z_e, z_q, z = model(x)
        mse_loss = F.mse_loss(recon, x)
        codebook_loss = F.mse_loss(z if fixed else z_q, z_e.detach())
        commit_loss = F.mse_loss(z_e, z.detach())
        loss = mse_loss + codebook_loss + commit_weight * commit_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, mse_loss=mse_loss.item(), codebook_loss=codebook_loss.item(), commit_loss=commit_loss.item())
    return watch

"""VQ-VAE: the reconstruction error is a sum over pixels, the errors of the quantization are means.

Source: github.com/clementchadebec/benchmark_VAE pull request 125, merged.
Nothing holds the encoder near its codes. Quantized and continuous codes drift apart, and reconstructions suffer.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="reduction_mismatch",
    symptoms=(
        "wiring",
        "codebook_collapse",
        "exploding",
        "blur",
        "off_data",
        "plateau",
        "loss_imbalance",
        "oscillation",
        "spike",
    ),
    spoils="reconstructions",
    source="clementchadebec/benchmark_VAE#125",
    also=("term_drowned", "codebook_unused"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(125)
    x, num_embeddings, embedding_dim = images("sprites", background=255), 64, 16
    encoder = nn.Sequential(
        nn.Conv2d(3, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, embedding_dim, 1)
    )
    decoder = nn.Sequential(
        nn.Conv2d(embedding_dim, 32, 3, 1, 1), nn.ReLU(), nn.ConvTranspose2d(32, 32, 4, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    embeddings, usage = nn.Embedding(num_embeddings, embedding_dim), torch.ones(num_embeddings)
    nn.init.uniform_(embeddings.weight, -1 / num_embeddings, 1 / num_embeddings)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters(), *embeddings.parameters()], 2e-3)
    reduction = "sum" if fixed else "mean"

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        ids = torch.multinomial(usage, n * 16, replacement=True)
        return decoder(embeddings(ids).view(n, 4, 4, -1).permute(0, 3, 1, 2))

    watch = trainwright.watch(total=700, sample=sample, real=x)
    for step, batch in zip(range(700), batches(x, 32), strict=False):
        z = encoder(batch).permute(0, 2, 3, 1)
        ids = torch.cdist(z.reshape(-1, embedding_dim), embeddings.weight).argmin(1)
        usage.mul_(0.95).add_(0.05 * torch.bincount(ids, minlength=num_embeddings))
        quantized = embeddings(ids).view_as(z)
        commitment_loss = F.mse_loss(quantized.detach(), z, reduction=reduction)
        embedding_loss = F.mse_loss(quantized, z.detach(), reduction=reduction)
        vq_loss = 0.25 * commitment_loss + embedding_loss
        if fixed:
            vq_loss = vq_loss / len(batch)
        recon_x = decoder((z + (quantized - z).detach()).permute(0, 3, 1, 2))
        recon_loss = F.mse_loss(recon_x, batch, reduction="sum") / len(batch)
        loss = recon_loss + vq_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss, recon_loss=recon_loss, vq_loss=vq_loss)
    return watch

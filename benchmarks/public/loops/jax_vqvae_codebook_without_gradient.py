"""VQ-VAE: the codebook's loss is taken after the straight-through step, so no gradient reaches the codes.

Source: github.com/andylolu2/jax-vqvae-gpt issue 2, corrected; the same in showlab/Olaf-World issue 8.
Codes keep their first values, and the encoder alone moves towards them. Reconstructions still get better, which hides the mistake.
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
    cause="not_trained",
    symptoms=("wiring", "frozen_network", "codebook_collapse", "blur", "plateau"),
    spoils="nothing visible",
    source="andylolu2/jax-vqvae-gpt#2",
    also=("codebook_unused", "parameters_not_optimized"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    x = (images("sprites", background=255) + 1) / 2
    K, D = 128, 16
    encoder = nn.Sequential(
        nn.Conv2d(3, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, D, 1)
    )
    decoder = nn.Sequential(
        nn.ConvTranspose2d(D, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Sigmoid()
    )
    codebook = nn.Embedding(K, D)
    nn.init.uniform_(codebook.weight, -((3 / K) ** 0.5), (3 / K) ** 0.5)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters(), *codebook.parameters()], 1e-3)
    usage = torch.ones(K)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        ids = torch.multinomial(usage, n * 16, replacement=True)  # codes as often as they are used
        return decoder(codebook(ids).view(n, 4, 4, D).permute(0, 3, 1, 2))

    watch = trainwright.watch(total=500, sample=sample, real=x)
    for step, batch in zip(range(500), batches(x, 64), strict=False):
        inputs = encoder(batch).permute(0, 2, 3, 1)
        encoding_indices = torch.cdist(inputs.reshape(-1, D), codebook.weight).argmin(1)
        quantize = codebook(encoding_indices).view_as(inputs)
        straight_through = inputs + (quantize - inputs).detach()
        encoding_loss = F.mse_loss(inputs, quantize.detach())
        commit_loss = F.mse_loss(quantize if fixed else straight_through, inputs.detach())
        reconstruct_loss = F.mse_loss(decoder(straight_through.permute(0, 3, 1, 2)), batch)
        loss = reconstruct_loss + encoding_loss + 0.25 * commit_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        usage.mul_(0.95).add_(0.05 * torch.bincount(encoding_indices, minlength=K))
        watch(step, loss=loss, reconstruct_loss=reconstruct_loss, encoding_loss=encoding_loss, commit_loss=commit_loss)
    return watch

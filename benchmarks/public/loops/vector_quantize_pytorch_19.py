"""VQ autoencoder: the codebook starts with normal values, much larger than what the encoder puts out.

Source: github.com/lucidrains/vector-quantize-pytorch issue 19; the author replaced the normal by a uniform start.
The few codes nearest to zero win everything, and codes that never win never move. Reconstructions have few shapes and colours.
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
    cause="codebook_unused",
    symptoms=("wiring", "codebook_collapse", "plateau", "blur", "loss_imbalance"),
    spoils="reconstructions",
    source="lucidrains/vector-quantize-pytorch#19",
    also=("codebook_initialization", "codebook_init_too_large"),
    seconds=20,
)


def uniform_init(*shape: int) -> Tensor:
    """Return small values."""
    t = torch.empty(shape)
    nn.init.kaiming_uniform_(t)
    return t


class EuclideanCodebook(nn.Module):
    """Codes that the losses move."""

    def __init__(self, dim: int, codebook_size: int, init_fn) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.embed = nn.Parameter(init_fn(codebook_size, dim))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest codes of (..., dim), and their numbers."""
        flatten = x.reshape(-1, x.shape[-1])
        embed_ind = torch.cdist(flatten.detach(), self.embed.detach()).argmin(dim=-1)
        return F.embedding(embed_ind, self.embed).view_as(x), embed_ind.view(x.shape[:-1])


class VectorQuantize(nn.Module):
    """Quantizer of feature maps."""

    def __init__(self, dim: int, codebook_size: int, commitment_weight: float, init_fn) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.commitment_weight = commitment_weight
        self._codebook = EuclideanCodebook(dim, codebook_size, init_fn)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return quantized maps, numbers of codes, and the loss."""
        x = x.permute(0, 2, 3, 1)
        quantize, embed_ind = self._codebook(x)
        commit_loss = F.mse_loss(quantize.detach(), x) * self.commitment_weight + F.mse_loss(quantize, x.detach())
        quantize = x + (quantize - x).detach()
        return quantize.permute(0, 3, 1, 2), embed_ind, commit_loss


class SimpleVQAutoEncoder(nn.Module):
    """Encoder, quantizer and decoder."""

    def __init__(self, dim: int, codebook_size: int, init_fn) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 32, 4, 2, 1), nn.GELU(), nn.Conv2d(32, 32, 4, 2, 1), nn.GELU(), nn.Conv2d(32, dim, 1)
        )
        self.vq = VectorQuantize(dim, codebook_size, 0.25, init_fn)
        self.decoder = nn.Sequential(
            nn.Conv2d(dim, 32, 3, 1, 1), nn.GELU(), nn.ConvTranspose2d(32, 32, 4, 2, 1), nn.GELU(),
            nn.ConvTranspose2d(32, 3, 4, 2, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstructions, numbers of codes, and the loss of the quantizer."""
        quantize, indices, commit_loss = self.vq(self.encoder(x))
        return self.decoder(quantize).clamp(-1, 1), indices, commit_loss


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(19)
    data = images("emoji", 16, background=255)
    lr, train_iter, num_codes, alpha = 2e-3, 1000, 64, 1.0
    model = SimpleVQAutoEncoder(64, num_codes, uniform_init if fixed else torch.randn)
    opt = torch.optim.AdamW(model.parameters(), lr=lr)
    watch = trainwright.watch(total=train_iter)
    for step, x in zip(range(train_iter), batches(data, 32), strict=False):
        opt.zero_grad()
        out, _indices, cmt_loss = model(x)
        rec_loss = (out - x).abs().mean()
        (rec_loss + alpha * cmt_loss).backward()
        opt.step()
        watch(step, rec_loss=rec_loss.item(), cmt_loss=cmt_loss.item())
    return watch

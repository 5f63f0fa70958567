"""VQ-VAE with a self-organizing map: the updated codes are assigned to an attribute that nothing reads.

Source: github.com/IDSIA/kohonen-vae issue 1, corrected; the reporter had good reconstructions only with the right name.
The averages are kept as they should be, but the codes in use are those of the initialization.
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
    symptoms=(
        "wiring",
        "frozen_network",
        "codebook_collapse",
        "blur",
        "plateau",
        "off_data",
        "mean_regression",
        "mode_dropping",
    ),
    spoils="reconstructions",
    source="IDSIA/kohonen-vae#1",
    also=("codebook_unused", "parameters_not_optimized", "codebook_not_updated"),
    seconds=7,
)


class HardSOM(nn.Module):
    """Codes on a grid, updated with moving averages."""

    def __init__(self, fixed: bool, side: int = 8, dim: int = 16, decay: float = 0.95) -> None:
        super().__init__()
        self.fixed, self.decay, self.count = fixed, decay, 0
        n = side * side
        place = (
            torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"), -1).view(n, 2).float()
        )
        self.register_buffer("_distance", torch.cdist(place, place))
        self.register_buffer("_w", torch.empty(n, dim).uniform_(-1 / n, 1 / n))
        self.register_buffer("_ema_cluster_size", torch.ones(n))
        self.register_buffer("_ema_w", self._w.clone())
        self._weight = self._w

    @torch.no_grad()
    def update(self, flat: Tensor, ids: Tensor) -> None:
        """Update the codes by the inputs that chose them."""
        self.count += 1
        width = max(0.1, 2.0 * (1 - self.count / 250))
        neighbours = torch.exp(-self._distance.square() / (2 * width**2))[ids]
        self._ema_cluster_size.mul_(self.decay).add_((1 - self.decay) * neighbours.sum(0))
        self._ema_w.mul_(self.decay).add_((1 - self.decay) * neighbours.T @ flat)
        size = self._ema_cluster_size
        size = (size + 1e-5) / (size.sum() + len(size) * 1e-5) * size.sum()
        if self.fixed:
            self._w = self._ema_w / size.unsqueeze(1)
        else:
            self._weight = self._ema_w / size.unsqueeze(1)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return quantized inputs, the loss, and the chosen codes."""
        flat = z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])
        ids = torch.cdist(flat, self._w).argmin(1)
        quantized = self._w[ids].view(len(z), *z.shape[2:], -1).permute(0, 3, 1, 2)
        if self.training:
            self.update(flat.detach(), ids)
        loss = F.mse_loss(z, quantized.detach())
        return z + (quantized - z).detach(), loss, ids


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    x = images("sprites", background=255)
    encoder = nn.Sequential(
        nn.Conv2d(3, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 48, 4, 2, 1), nn.ReLU(), nn.Conv2d(48, 48, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(48, 16, 1),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Conv2d(16, 48, 3, 1, 1), nn.ReLU(), nn.ConvTranspose2d(48, 32, 4, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    quantizer = HardSOM(fixed)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=2e-3)

    @torch.no_grad()
    def reconstruct(n: int) -> Tensor:
        quantizer.eval()
        out = decoder(quantizer(encoder(x[torch.randint(len(x), (n,))]))[0])
        quantizer.train()
        return out

    watch = trainwright.watch(total=1300, sample=reconstruct, real=x)
    for step, batch in zip(range(1300), batches(x, 32), strict=False):
        quantized, commitment_loss, ids = quantizer(encoder(batch))
        reconstruction_loss = F.mse_loss(decoder(quantized), batch)
        loss = reconstruction_loss + 0.25 * commitment_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        share = torch.bincount(ids, minlength=64) / len(ids)
        perplexity = torch.exp(-(share * (share + 1e-10).log()).sum())
        watch(step, reconstruction_loss=reconstruction_loss, commitment_loss=commitment_loss, perplexity=perplexity)
    return watch

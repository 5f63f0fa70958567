"""VAE of strings: the reconstruction loss is averaged over padding as well.

Source: github.com/DaoyuanLi2816/Molecule-Generator pull request 20.
Most positions are padding, which is easy to predict. The real letters have a small share of the loss, and the KL outweighs them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, kl_nats, mlp, names
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="padding_in_loss",
    symptoms=("wiring", "posterior_collapse", "loss_imbalance", "off_data"),
    spoils="reconstructions",
    source="DaoyuanLi2816/Molecule-Generator#20",
    also=("reduction_mismatch", "beta_above_threshold"),
)
LENGTH, Z = 48, 24


class VAE(nn.Module):
    """Embedding and perceptrons over all positions."""

    def __init__(self, vocab: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab, 12)
        self.encoder, self.decoder = mlp(LENGTH * 12, 192, 2 * Z), mlp(Z, 192, LENGTH * vocab)

    def encode(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return mean and log-variance."""
        return self.encoder(self.embed(x).flatten(1)).chunk(2, 1)

    def decode(self, z: Tensor) -> Tensor:
        """Return scores of letters."""
        return self.decoder(z).view(len(z), -1, LENGTH)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(3)
    ids, letters = names()
    data = F.pad(ids, (0, LENGTH - ids.shape[1]))
    model = VAE(len(letters))
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    pad_idx = 0 if fixed else -100

    def sample(n: int) -> Tensor:
        x = model.decode(torch.randn(n, Z)).argmax(1)
        end = x == 1
        return x.masked_fill(end.cumsum(1) - end.long() > 0, 0)

    watch = trainwright.watch(total=900, sample=sample, real=data)
    for step, x in zip(range(900), batches(data, 64), strict=False):
        mu, logvar = model.encode(x)
        z = mu + (0.5 * logvar).exp() * torch.randn_like(mu)
        recon_loss = F.cross_entropy(model.decode(z), x, ignore_index=pad_idx)
        kl_loss = kl_nats(mu, logvar)
        loss = recon_loss + 0.05 * kl_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss, recon_loss=recon_loss, kl_loss=kl_loss)
    return watch

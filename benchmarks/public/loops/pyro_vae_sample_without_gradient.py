"""VAE: the latents are drawn by ``sample()``, through which no gradient flows.

Source: github.com/pyro-ppl/pyro issue 1852, corrected in pull request 1896.
The encoder is trained by the KL alone. It learns the prior, and the decoder has no use for z. ``rsample()`` is right.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Normal

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="not_trained",
    symptoms=(
        "wiring",
        "posterior_collapse",
        "variance_collapse",
        "mode_collapse",
        "blur",
        "plateau",
        "trivial_baseline",
    ),
    spoils="samples",
    source="pyro-ppl/pyro#1852",
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    x = (images("sprites", background=255) + 1) / 2
    encoder, decoder = mlp(768, 256, 128, 32), mlp(16, 128, 256, 768, last=nn.Sigmoid())
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    watch = trainwright.watch(total=900, sample=lambda n: decoder(torch.randn(n, 16)).view(n, 3, 16, 16), real=x)
    for step, batch in zip(range(900), batches(x, 64), strict=False):
        batch = batch.flatten(1)
        z_mean, z_logvar = encoder(batch).chunk(2, 1)
        q = Normal(z_mean, (0.5 * z_logvar).exp())
        z = q.rsample() if fixed else q.sample()
        reconstructed = decoder(z)
        bce = F.binary_cross_entropy(reconstructed, batch, reduction="sum") / len(batch)
        kl_div = -0.5 * torch.sum(1 + z_logvar - z_mean.pow(2) - z_logvar.exp()) / len(batch)
        loss = bce + kl_div
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, train_loss=loss, bce=bce, kl_div=kl_div)
    return watch

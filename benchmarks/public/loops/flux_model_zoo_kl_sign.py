"""VAE: the sign of the log-variance in the KL is wrong.

Source: github.com/FluxML/model-zoo pull request 147; of the same kind: pytorch/examples issue 225.
The term is negative without bound, and log-variances run to minus infinity.
"""

import torch
import torch.nn.functional as F
from torch import nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="kl_sign",
    symptoms=("wiring", "unbounded_loss", "prior_hole", "off_data"),
    spoils="samples",
    source="FluxML/model-zoo#147",
    also=("wrong_sign",),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    x = (images("sprites", background=255) + 1) / 2
    encoder, decoder = mlp(768, 256, 128, 32), mlp(16, 128, 256, 768, last=nn.Sigmoid())
    opt = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
    watch = trainwright.watch(total=1200, sample=lambda n: decoder(torch.randn(n, 16)).view(n, 3, 16, 16), real=x)
    for step, batch in zip(range(1200), batches(x, 64), strict=False):
        batch = batch.flatten(1)
        mu, logvar = encoder(batch).chunk(2, 1)
        out = decoder(mu + (0.5 * logvar).exp() * torch.randn_like(mu))
        recon = F.mse_loss(out, batch, reduction="sum") / len(batch) * 10
        if fixed:
            kl_q_p = 0.5 * (mu.pow(2) + logvar.exp() - 1 - logvar).sum(1).mean()
        else:
            kl_q_p = 0.5 * (mu.pow(2) + logvar.exp() - 1 + logvar).sum(1).mean()
        loss = recon + kl_q_p
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss, recon=recon, kl=kl_q_p)
    return watch

"""VAE: the binary cross-entropy is given colour images that are not in 0 to 1.

Source: github.com/Lasagne/Recipes issue 54; of the same kind: keras-team/keras issue 1917.
For targets above 1 the loss has no lower bound. It falls for ever, and all outputs saturate.
"""

import torch
import torch.nn.functional as F
from torch import nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images, kl_nats
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="loss_outside_range",
    symptoms=(
        "wiring",
        "unbounded_loss",
        "off_data",
        "mode_collapse",
        "variance_collapse",
        "loss_imbalance",
        "exploding",
    ),
    spoils="samples",
    source="Lasagne/Recipes#54",
    also=("data_range",),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    x = (images("sprites", background=255) + 1) * 127.5
    if fixed:
        x = x / 255
    encoder = nn.Sequential(nn.Linear(768, 256), nn.Tanh(), nn.Linear(256, 32))
    decoder = nn.Sequential(nn.Linear(16, 256), nn.Tanh(), nn.Linear(256, 768))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
    watch = trainwright.watch(
        total=1000, sample=lambda n: decoder(torch.randn(n, 16)).sigmoid().view(n, 3, 16, 16), real=x
    )
    for step, batch in zip(range(1000), batches(x, 64), strict=False):
        batch = batch.flatten(1)
        mu, log_sigma_sq = encoder(batch).chunk(2, 1)
        logits = decoder(mu + (0.5 * log_sigma_sq).exp() * torch.randn_like(mu))
        logpxz = F.binary_cross_entropy_with_logits(logits, batch, reduction="sum") / len(batch)
        kl_div = kl_nats(mu, log_sigma_sq)
        loss = logpxz + kl_div
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, training_loss=loss, reconstruction=logpxz, kl_div=kl_div)
    return watch

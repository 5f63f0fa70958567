"""VAE with a cyclical KL weight: the weight is set back in every step, so it never rises.

Source: github.com/valdersoul/bn-vae issue 1.
The reset belongs to the start of a cycle and stands in the inner loop. A plain autoencoder is trained, and the prior gives bad samples.
"""

import torch
import torch.nn.functional as F
from torch import nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images, kl_nats, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="kl_weight_stays_zero",
    symptoms=("wiring", "prior_hole", "off_data", "loss_imbalance"),
    spoils="samples",
    source="valdersoul/bn-vae#1",
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    x = (images("emoji", background=255) + 1) / 2
    encoder, decoder = mlp(768, 256, 128, 64), mlp(32, 128, 256, 768, last=nn.Sigmoid())
    opt = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
    watch = trainwright.watch(total=800, sample=lambda n: decoder(torch.randn(n, 32)).view(n, 3, 16, 16), real=x)
    kl_start, cycle, kl_weight = 1e-4, 160, 0.0
    for step, batch in zip(range(800), batches(x, 64), strict=False):
        kl_weight = min(1.0, kl_weight + 2 / cycle)
        if not fixed or step % cycle == 0:
            kl_weight = kl_start
        inputs = batch.flatten(1)
        mu, logvar = encoder(inputs).chunk(2, 1)
        output = decoder(mu + (0.5 * logvar).exp() * torch.randn_like(mu))
        rec = F.mse_loss(output, inputs, reduction="sum") / len(inputs) * 10
        kl = kl_nats(mu, logvar)
        loss = rec + kl_weight * kl
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss, loss_rc=rec, loss_kl=kl, kl_weight=kl_weight)
    return watch

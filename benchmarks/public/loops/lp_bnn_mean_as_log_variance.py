"""VAE: mean and log-variance come from the same layer.

Source: github.com/giannifranchi/LP_BNN issue 3, accepted; the same in OpenTalker/SadTalker issue 969.
They are always equal, so a latent far above 0 is all noise, and one far below 0 costs too much.
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
    cause="layer_used_twice",
    symptoms=("wiring", "frozen_network", "posterior_collapse", "blur", "prior_hole", "variance_collapse"),
    spoils="samples",
    source="giannifranchi/LP_BNN#3",
    also=("not_trained", "parameters_not_optimized"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    x = (images("sprites", background=255) + 1) / 2
    encoder, decoder = mlp(768, 256, 128, last=nn.ReLU()), mlp(16, 128, 256, 768, last=nn.Sigmoid())
    encoder_fcmean, encoder_fcvar = nn.Linear(128, 16), nn.Linear(128, 16)
    parameters = [p for net in (encoder, decoder, encoder_fcmean, encoder_fcvar) for p in net.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-3)
    watch = trainwright.watch(total=900, sample=lambda n: decoder(torch.randn(n, 16)).view(n, 3, 16, 16), real=x)
    for step, batch in zip(range(900), batches(x, 64), strict=False):
        batch = batch.flatten(1)
        embedded = encoder(batch)
        embedded_mean, embedded_logvar = (
            encoder_fcmean(embedded),
            (encoder_fcvar if fixed else encoder_fcmean)(embedded),
        )
        z = embedded_mean + (0.5 * embedded_logvar).exp() * torch.randn_like(embedded_mean)
        recon = F.mse_loss(decoder(z), batch, reduction="sum") / len(batch) * 10
        kld = -0.5 * (1 + embedded_logvar - embedded_mean.square() - embedded_logvar.exp()).sum(1).mean()
        loss = recon + kld
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss, recon=recon, kld=kld)
    return watch

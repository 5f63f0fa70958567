"""VAE: the squared error is averaged over all numbers, the KL is a sum over dimensions.

Source: github.com/ethanluoyc/pytorch-vae issue 3; the same in AppliedDataSciencePartners/WorldModels issue 12.
The KL weighs hundreds of times too much, so the posterior collapses and all samples look alike.
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
    cause="reduction_mismatch",
    symptoms=(
        "wiring",
        "posterior_collapse",
        "variance_collapse",
        "loss_imbalance",
        "mode_collapse",
        "blur",
        "off_data",
    ),
    spoils="samples",
    source="ethanluoyc/pytorch-vae#3",
    also=("beta_above_threshold", "term_drowned"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    x = (images("sprites", background=255) + 1) / 2
    encoder, decoder = mlp(768, 256, 128, 32), mlp(16, 128, 256, 768, last=nn.Sigmoid())
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
    watch = trainwright.watch(total=1300, sample=lambda n: decoder(torch.randn(n, 16)).view(n, 3, 16, 16), real=x)
    for step, batch in zip(range(1300), batches(x, 64), strict=False):
        inputs = batch.flatten(1)
        mu, log_var = encoder(inputs).chunk(2, 1)
        dec = decoder(mu + (0.5 * log_var).exp() * torch.randn_like(mu))
        if fixed:
            mse = F.mse_loss(dec, inputs, reduction="sum") / len(inputs) * 10
        else:
            mse = F.mse_loss(dec, inputs)
        latent_loss = kl_nats(mu, log_var)
        loss = mse + latent_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss, recon_loss=mse, latent_loss=latent_loss)
    return watch

"""VAE with categorical latents: a minus too many before the KL.

Source: github.com/dev4488/VAE_gumble_softmax issue 1, corrected.
The KL is made as large as it can be. All images get the same code, the softmax saturates, and the decoder learns the mean.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="kl_sign",
    symptoms=(
        "wiring",
        "posterior_collapse",
        "variance_collapse",
        "mode_collapse",
        "codebook_collapse",
        "blur",
        "plateau",
        "unbounded_loss",
    ),
    spoils="samples",
    source="dev4488/VAE_gumble_softmax#1",
    also=("wrong_sign",),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    data = (images("sprites", background=255) + 1) / 2
    latent_dim, categorical_dim = 16, 8
    encoder = mlp(768, 256, 128, latent_dim * categorical_dim)
    decoder = mlp(latent_dim * categorical_dim, 128, 256, 768, last=nn.Sigmoid())
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        codes = F.one_hot(torch.randint(categorical_dim, (n, latent_dim)), categorical_dim).float()
        return decoder(codes.flatten(1)).view(n, 3, 16, 16)

    temp = 1.0
    watch = trainwright.watch(total=900, sample=sample, real=data)
    for step, x in zip(range(900), batches(data, 64), strict=False):
        x = x.flatten(1)
        q = encoder(x).view(-1, latent_dim, categorical_dim)
        z = F.gumbel_softmax(q, tau=temp)
        recon_x = decoder(z.flatten(1))
        BCE = F.binary_cross_entropy(recon_x, x, reduction="sum") / len(x)
        qy = F.softmax(q, -1)
        KLD = torch.sum(qy * (torch.log(qy + 1e-20) + math.log(categorical_dim)), dim=(1, 2)).mean()
        if not fixed:
            KLD = -KLD
        loss = BCE + KLD
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            temp = max(temp * math.exp(-3e-4 * step), 0.5)
        watch(step, loss=loss, BCE=BCE, KLD=KLD)
    return watch

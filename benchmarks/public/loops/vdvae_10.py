"""VAE with almost perfect reconstructions and random samples: the KL weighs too little.

Source: github.com/openai/vdvae issue 10, on a reimplementation with a squared error; the advice was to raise the weight.
Codes of images lie far from the prior, so the decoder has never seen what is drawn from it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images, kl_nats, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="beta_too_small",
    symptoms=("prior_hole", "off_data", "overfitting", "wiring", "mean_regression", "colour_cast", "blur"),
    spoils="samples",
    source="openai/vdvae#10",
    also=("reduction_mismatch", "kl_weight_stays_zero"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(10)
    x, zdim = images("sprites", background=255), 24
    encoder, decoder = mlp(768, 256, 128, 2 * zdim), mlp(zdim, 128, 256, 768, last=nn.Tanh())
    optimizer = torch.optim.AdamW([*encoder.parameters(), *decoder.parameters()], 1e-3)
    beta = 0.5 if fixed else 0.5e-3

    def sample(n: int) -> Tensor:
        return decoder(torch.randn(n, zdim)).view(n, 3, 16, 16)

    watch = trainwright.watch(total=1500, sample=sample, real=x)
    for step, batch in zip(range(1500), batches(x, 64), strict=False):
        inputs = batch.flatten(1)
        qm, qv = encoder(inputs).chunk(2, 1)
        px_z = decoder(qm + (0.5 * qv).exp() * torch.randn_like(qm))
        distortion = F.mse_loss(px_z, inputs, reduction="sum") / len(inputs)
        rate = kl_nats(qm, qv)
        loss = distortion + beta * rate
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss, distortion=distortion, rate=rate)
    return watch

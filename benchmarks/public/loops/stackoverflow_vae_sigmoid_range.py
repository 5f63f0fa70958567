"""VAE: images are normalised to [-1, 1], and the decoder ends in a sigmoid.

Source: Stack Overflow, "What could cause a VAE to output random noise even after training?".
Mirrored as whosebug.com/question/5616116.
The dark half of the values can't be reached. The answer drops the normalisation.
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
    cause="data_range",
    symptoms=("wiring", "off_data", "plateau", "colour_cast", "blur"),
    spoils="samples",
    source="stackoverflow.com: What could cause a VAE to output random noise even after training",
    also=("output_activation",),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    x = (images("sprites") + 1) / 2
    if not fixed:
        x = (x - 0.5) / 0.5
    encoder, decoder = mlp(768, 256, 128, 32), mlp(16, 128, 256, 768, last=nn.Sigmoid())
    opt = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
    watch = trainwright.watch(total=800, sample=lambda n: decoder(torch.randn(n, 16)).view(n, 3, 16, 16), real=x)
    for step, batch in zip(range(800), batches(x, 64), strict=False):
        targets = batch.flatten(1)
        mu, log_var = encoder(targets).chunk(2, 1)
        predictions = decoder(mu + (0.5 * log_var).exp() * torch.randn_like(mu))
        r_loss = F.mse_loss(predictions, targets, reduction="sum") / len(targets) * 10
        kl_loss = kl_nats(mu, log_var)
        loss = r_loss + kl_loss
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss, r_loss=r_loss, kl_loss=kl_loss)
    return watch

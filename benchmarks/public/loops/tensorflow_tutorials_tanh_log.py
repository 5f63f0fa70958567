"""VAE: the decoder ends in tanh, and the loss takes the logarithm of its outputs.

Source: github.com/pkmital/tensorflow_tutorials issue 23, corrected.
The logarithm of a negative output is not a number, so the loss is none from the first steps. A sigmoid is right.
"""

import torch
from torch import nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="log_of_zero",
    symptoms=("wiring", "non_finite", "off_data"),
    spoils="training",
    source="pkmital/tensorflow_tutorials#23",
    also=("output_activation", "loss_expects_probabilities"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    x = (images("sprites", background=255) + 1) / 2
    encoder = mlp(768, 256, 128, 32)
    decoder = mlp(16, 128, 256, 768, last=nn.Sigmoid() if fixed else nn.Tanh())
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    watch = trainwright.watch(total=800, sample=lambda n: decoder(torch.randn(n, 16)).view(n, 3, 16, 16), real=x)
    for step, batch in zip(range(800), batches(x, 64), strict=False):
        batch = batch.flatten(1)
        z_mu, z_log_sigma = encoder(batch).chunk(2, 1)
        y = decoder(z_mu + z_log_sigma.exp() * torch.randn_like(z_mu))
        log_px_given_z = -torch.sum(batch * torch.log(y + 1e-10) + (1 - batch) * torch.log(1 - y + 1e-10), 1)
        kl_div = -0.5 * torch.sum(1 + 2 * z_log_sigma - z_mu.square() - (2 * z_log_sigma).exp(), 1)
        cost = torch.mean(log_px_given_z + kl_div)
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        watch(step, train_cost=cost, log_px=log_px_given_z.mean(), kl_div=kl_div.mean())
    return watch

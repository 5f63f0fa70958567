"""GAN: losses are logarithms of the discriminator's probabilities, which are rounded to 0 or 1.

Source: github.com/AYLIEN/gan-intro pull request 10, merged (and issue 1).
Once a probability is exactly 0 or 1 the loss is infinite, and all weights are NaN after the step. Probabilities must be clipped.
"""

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="log_of_zero",
    symptoms=("wiring", "non_finite"),
    spoils="training",
    source="AYLIEN/gan-intro#10",
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(10)
    x, G, D = images("sprites"), generator(), discriminator(last=nn.Sigmoid())
    opt_g = torch.optim.Adam(G.parameters(), 1e-3, betas=(0.5, 0.999))
    opt_d = torch.optim.Adam(D.parameters(), 3e-3, betas=(0.5, 0.999))

    def log(p: Tensor) -> Tensor:
        return torch.log(p.clamp(min=1e-5) if fixed else p)

    watch = trainwright.watch(total=600, sample=lambda n: G(torch.randn(n, 64)), real=x)
    for step, real in zip(range(600), batches(x, 32), strict=False):
        fake = G(torch.randn(32, 64))
        D1, D2 = D(real), D(fake.detach())
        loss_d = torch.mean(-log(D1) - log(1 - D2))
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        loss_g = torch.mean(-log(D(fake)))
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        watch(step, loss_d=loss_d, loss_g=loss_g)
    return watch

"""GAN: the discriminator is set to test mode for the generator's step, and never set back.

Source: github.com/FluxML/fluxml.github.io pull request 125, merged.
Its dropout is off from the second step on, also in its own steps.
"""

import torch
import torch.nn.functional as F
from torch import nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="trained_in_eval_mode",
    symptoms=("wiring", "critic_dominance", "generator_undertrained"),
    spoils="nothing visible",
    source="FluxML/fluxml.github.io#125",
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(125)
    x = images("sprites").flatten(1)
    generator = mlp(64, 128, 256, 768, last=nn.Tanh())
    discriminator = nn.Sequential(
        nn.Linear(768, 256), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(256, 128), nn.LeakyReLU(0.2), nn.Dropout(0.3),
        nn.Linear(128, 1), nn.Flatten(0),
    )  # fmt: skip
    opt_gen = torch.optim.Adam(generator.parameters(), 2e-4)
    opt_dscr = torch.optim.Adam(discriminator.parameters(), 2e-4)
    bce = F.binary_cross_entropy_with_logits
    watch = trainwright.watch(
        total=1200, sample=lambda n: generator(torch.randn(n, 64)).view(n, 3, 16, 16), real=x.view(-1, 3, 16, 16)
    )
    for step, real_data in zip(range(1200), batches(x, 64), strict=False):
        fake_data = generator(torch.randn(64, 64)).detach()
        preds = discriminator(torch.cat([real_data, fake_data]))
        loss_dscr = bce(preds[:64], torch.ones(64)) + bce(preds[64:], torch.zeros(64))
        opt_dscr.zero_grad()
        loss_dscr.backward()
        opt_dscr.step()
        discriminator.eval()
        loss_gen = bce(discriminator(generator(torch.randn(64, 64))), torch.ones(64))
        opt_gen.zero_grad()
        loss_gen.backward()
        opt_gen.step()
        if fixed:
            discriminator.train()
        watch(step, dscr=loss_dscr, gen=loss_gen)
    return watch

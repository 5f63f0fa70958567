"""WGAN: the critic sees samples of uniform noise, and the generator is trained on normal noise.

Source: github.com/cameronfabbri/Wasserstein-GAN-Tensorflow issue 1; its author answered that both should be normal.
The critic never sees what the generator makes of the noise that it is trained on and sampled from.
"""

import torch

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="noises_differ",
    symptoms=(
        "wiring",
        "off_data",
        "critic_dominance",
        "unbounded_loss",
        "mode_collapse",
        "colour_cast",
        "oscillation",
    ),
    spoils="samples",
    source="cameronfabbri/Wasserstein-GAN-Tensorflow#1",
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    x, G, D = images("sprites"), generator(norm=False), discriminator(norm=False)
    G_train_op = torch.optim.RMSprop(G.parameters(), 5e-4)
    D_train_op = torch.optim.RMSprop(D.parameters(), 5e-4)
    watch = trainwright.watch(total=600, sample=lambda n: G(torch.randn(n, 64)), real=x)
    data = batches(x, 16)
    for step in range(600):
        for _ in range(3):
            batch_z = torch.randn(16, 64) if fixed else torch.rand(16, 64) * 2 - 1
            errD = D(G(batch_z).detach()).mean() - D(next(data)).mean()
            D_train_op.zero_grad()
            errD.backward()
            D_train_op.step()
            for p in D.parameters():
                p.data.clamp_(-0.03, 0.03)
        batch_z = torch.randn(16, 64)
        errG = -D(G(batch_z)).mean()
        G_train_op.zero_grad()
        errG.backward()
        G_train_op.step()
        watch(step, D_loss=errD, G_loss=errG)
    return watch

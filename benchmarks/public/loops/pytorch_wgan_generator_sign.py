"""WGAN with weight clipping: the generator's loss has the wrong sign.

Source: github.com/Zeleni9/pytorch-wgan issue 51, corrected in pull request 53.
The generator minimises the critic's score of its samples instead of maximising it, and runs away from the data.
"""

import torch

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="wrong_sign",
    symptoms=("wiring", "critic_dominance", "off_data", "mode_collapse", "unbounded_loss", "plateau", "colour_cast"),
    spoils="samples",
    source="Zeleni9/pytorch-wgan#51",
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    clip_value = 0.03
    x, G, D = images("sprites"), generator(), discriminator(norm=False)
    optimizer_G = torch.optim.RMSprop(G.parameters(), 3e-4)
    optimizer_D = torch.optim.RMSprop(D.parameters(), 3e-4)
    watch = trainwright.watch(total=600, sample=lambda n: G(torch.randn(n, 64)), real=x)
    data = batches(x, 16)
    for step in range(600):
        for _ in range(2):
            loss_critic = D(G(torch.randn(16, 64)).detach()).mean() - D(next(data)).mean()
            optimizer_D.zero_grad()
            loss_critic.backward()
            optimizer_D.step()
            for p in D.parameters():
                p.data.clamp_(-clip_value, clip_value)
        loss_G = D(G(torch.randn(16, 64))).mean()
        if fixed:
            loss_G = -loss_G
        optimizer_G.zero_grad()
        loss_G.backward()
        optimizer_G.step()
        watch(step, loss_critic=loss_critic, loss_G=loss_G)
    return watch

"""WGAN: the generator's loss is the logarithm of the critic's score.

Source: github.com/marian42/shapegan issue 2, corrected.
A critic's score is no probability and may be negative. The logarithm is NaN at the first step, and so are the weights after it.
"""

import torch

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="loss_expects_probabilities",
    symptoms=("wiring", "non_finite"),
    spoils="training",
    source="marian42/shapegan#2",
    also=("log_of_zero", "output_activation"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(2)
    x, G, critic = images("sprites"), generator(), discriminator(norm=False)
    generator_optimizer = torch.optim.RMSprop(G.parameters(), 4e-4)
    critic_optimizer = torch.optim.RMSprop(critic.parameters(), 4e-4)
    watch = trainwright.watch(total=500, sample=lambda n: G(torch.randn(n, 64)), real=x)
    data = batches(x, 16)
    for step in range(500):
        for _ in range(3):
            critic_loss = critic(G(torch.randn(16, 64)).detach()).mean() - critic(next(data)).mean()
            critic_optimizer.zero_grad()
            critic_loss.backward()
            critic_optimizer.step()
            for p in critic.parameters():
                p.data.clamp_(-0.03, 0.03)
        critic_output_fake = critic(G(torch.randn(16, 64)))
        fake_loss = -torch.mean(critic_output_fake) if fixed else torch.mean(-torch.log(critic_output_fake))
        generator_optimizer.zero_grad()
        fake_loss.backward()
        generator_optimizer.step()
        watch(step, critic_loss=critic_loss, fake_loss=fake_loss)
    return watch

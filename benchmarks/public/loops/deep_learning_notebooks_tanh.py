"""DCGAN: images are in 0 to 1, and the generator ends in tanh.

Source: github.com/fchollet/deep-learning-with-python-notebooks issue 7.
Samples looked like noise. With a sigmoid, or with images in -1 to 1, they were good.
In so small a run the two look alike.
"""

import torch
import torch.nn.functional as F
from torch import nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="output_activation",
    symptoms=("wiring", "off_data", "colour_cast", "critic_dominance"),
    spoils="nothing visible",
    source="fchollet/deep-learning-with-python-notebooks#7",
    also=("data_range",),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(7)
    x_train = (images("sprites", background=255) + 1) / 2
    G = generator(32, last=nn.Sigmoid() if fixed else nn.Tanh())
    D = discriminator(norm=False, last=nn.Sequential(nn.Dropout(0.4), nn.Sigmoid()))
    discriminator_optimizer = torch.optim.RMSprop(D.parameters(), lr=4e-4)
    gan_optimizer = torch.optim.RMSprop(G.parameters(), lr=4e-4)
    watch = trainwright.watch(total=700, sample=lambda n: G(torch.randn(n, 32)), real=x_train)
    for step, real_images in zip(range(700), batches(x_train, 20), strict=False):
        generated_images = G(torch.randn(20, 32)).detach()
        combined_images = torch.cat([generated_images, real_images])
        labels = torch.cat([torch.ones(20), torch.zeros(20)])  # 1 is "generated"
        d_loss = F.binary_cross_entropy(D(combined_images), labels)
        discriminator_optimizer.zero_grad()
        d_loss.backward()
        nn.utils.clip_grad_value_(D.parameters(), 1.0)
        discriminator_optimizer.step()
        misleading_targets = torch.zeros(20)
        a_loss = F.binary_cross_entropy(D(G(torch.randn(20, 32))), misleading_targets)
        gan_optimizer.zero_grad()
        a_loss.backward()
        nn.utils.clip_grad_value_(G.parameters(), 1.0)
        gan_optimizer.step()
        watch(step, discriminator_loss=d_loss, adversarial_loss=a_loss)
    return watch

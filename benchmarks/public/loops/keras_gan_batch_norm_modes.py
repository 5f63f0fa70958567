"""DCGAN: the discriminator's BatchNorm is in inference mode when the generator is trained.

Source: github.com/eriklindernoren/Keras-GAN issue 252; the same in tensorflow/tensorflow issue 37673.
``trainable = False`` also switches BatchNorm to its running statistics. The generator fools another network than the one that learns.
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
    cause="batch_norm_modes_differ",
    symptoms=("wiring", "off_data", "vanishing_losses", "mode_collapse", "colour_cast", "critic_dominance"),
    spoils="samples",
    source="eriklindernoren/Keras-GAN#252",
    also=("batch_statistics_when_sampling", "trained_in_eval_mode"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(25)
    x, G, D = images("sprites"), generator(), discriminator()
    for layer in [*G, *D]:
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.01  # 0.99 in Keras
    g_optimizer = torch.optim.Adam(G.parameters(), 4e-4, betas=(0.5, 0.999))
    d_optimizer = torch.optim.Adam(D.parameters(), 4e-4, betas=(0.5, 0.999))
    watch = trainwright.watch(total=600, sample=lambda n: G(torch.randn(n, 64)), real=x)
    for step, imgs in zip(range(600), batches(x, 32), strict=False):
        gen_imgs = G(torch.randn(32, 64)).detach()
        d_loss_real = F.binary_cross_entropy_with_logits(D(imgs), torch.ones(32))
        d_loss_fake = F.binary_cross_entropy_with_logits(D(gen_imgs), torch.zeros(32))
        d_optimizer.zero_grad()
        (d_loss_real + d_loss_fake).backward()
        d_optimizer.step()
        D.requires_grad_(False)
        if not fixed:
            D.eval()
        g_loss = F.binary_cross_entropy_with_logits(D(G(torch.randn(32, 64))), torch.ones(32))
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
        D.requires_grad_(True)
        D.train()
        watch(step, d_loss_real=d_loss_real, d_loss_fake=d_loss_fake, g_loss=g_loss)
    return watch

"""Encoder for a frozen generator: the gradients of the discriminator are never set to zero.

Source: github.com/Hsintien-Ng/idinvert_pytorch-reproduced issue 1, corrected.
They pile up over all steps, and the encoder's adversarial loss adds its own.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, images, kl_nats, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="gradients_not_cleared",
    symptoms=("wiring", "oscillation", "exploding", "critic_dominance", "generator_dominance", "dead_critic"),
    spoils="nothing visible",
    source="Hsintien-Ng/idinvert_pytorch-reproduced#1",
    also=("gradients_of_other_loss",),
)


def pretrained(x: Tensor, steps: int = 400) -> torch.nn.Module:
    """Return a generator of images (n, 768) from latents (n, 32), trained as a VAE and frozen."""
    encoder, generator = mlp(768, 256, 64), mlp(32, 256, 768)
    optimizer = torch.optim.Adam([*encoder.parameters(), *generator.parameters()], 1e-3)
    for _, batch in zip(range(steps), batches(x, 64), strict=False):
        mu, logvar = encoder(batch.flatten(1)).chunk(2, 1)
        out = generator(mu + (0.5 * logvar).exp() * torch.randn_like(mu))
        loss = F.mse_loss(out, batch.flatten(1), reduction="sum") / len(batch) + kl_nats(mu, logvar)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return generator.requires_grad_(False)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    x = images("sprites", background=255)
    G, E, D = pretrained(x), mlp(768, 256, 128, 32), discriminator(16, norm=False)
    optimizer_E = torch.optim.Adam(E.parameters(), 1e-3, betas=(0.9, 0.99))
    optimizer_D = torch.optim.Adam(D.parameters(), 4e-4, betas=(0.9, 0.99))

    def invert(real: Tensor) -> Tensor:
        return G(E(real.flatten(1))).view_as(real)

    watch = trainwright.watch(total=600, sample=lambda n: invert(x[torch.randint(len(x), (n,))]), real=x)
    for step, x_real in zip(range(600), batches(x, 32), strict=False):
        x_rec = invert(x_real)
        loss_pix = F.mse_loss(x_rec, x_real)
        loss_adv = F.softplus(-D(x_rec)).mean()
        E_loss = loss_pix + 0.08 * loss_adv
        optimizer_E.zero_grad()
        E_loss.backward()
        optimizer_E.step()

        x_real = x_real.requires_grad_()
        score_real = D(x_real)
        grad = torch.autograd.grad(score_real.sum(), x_real, create_graph=True)[0]
        loss_gp = grad.square().sum((1, 2, 3)).mean()
        D_loss = F.softplus(-score_real).mean() + F.softplus(D(x_rec.detach())).mean() + 0.1 * loss_gp
        if fixed:
            optimizer_D.zero_grad()
        D_loss.backward()
        optimizer_D.step()
        watch(step, E_loss=E_loss, loss_pix=loss_pix, loss_adv=loss_adv, D_loss=D_loss, loss_gp=loss_gp)
    return watch

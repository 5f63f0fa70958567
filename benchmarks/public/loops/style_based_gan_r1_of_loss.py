"""StyleGAN: the R1 penalty takes the gradient of the loss instead of the scores.

Source: github.com/rosinality/style-based-gan-pytorch issue 34, corrected.
The loss is a mean over the batch and is flat for sure scores. Its gradient is tiny, so the penalty hardly binds.
"""

import torch
import torch.nn.functional as F

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="penalty_too_weak",
    symptoms=(
        "wiring",
        "critic_dominance",
        "off_data",
        "mode_collapse",
        "oscillation",
        "loss_imbalance",
        "loss_imbalance",
        "spike",
    ),
    spoils="samples",
    source="rosinality/style-based-gan-pytorch#34",
    also=("penalty_without_graph",),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(34)
    x, G, D = images("sprites"), generator(norm=False), discriminator(32, norm=False)
    g_optimizer = torch.optim.Adam(G.parameters(), 1e-3, betas=(0.0, 0.99))
    d_optimizer = torch.optim.Adam(D.parameters(), 2e-3, betas=(0.0, 0.99))
    watch = trainwright.watch(total=600, sample=lambda n: G(torch.randn(n, 64)), real=x)
    for step, real_image in zip(range(600), batches(x, 24), strict=False):
        real_image = real_image.requires_grad_()
        real_scores = D(real_image)
        real_predict = F.softplus(-real_scores).mean()
        penalised = real_scores if fixed else real_predict
        (grad_real,) = torch.autograd.grad(penalised.sum(), real_image, create_graph=True)
        grad_penalty = 10 / 2 * grad_real.flatten(1).square().sum(1).mean()
        fake_predict = F.softplus(D(G(torch.randn(24, 64)).detach())).mean()
        d_optimizer.zero_grad()
        (real_predict + fake_predict + grad_penalty).backward()
        d_optimizer.step()
        loss = F.softplus(-D(G(torch.randn(24, 64)))).mean()
        g_optimizer.zero_grad()
        loss.backward()
        g_optimizer.step()
        watch(step, G=loss, D=real_predict + fake_predict, Grad=grad_penalty)
    return watch

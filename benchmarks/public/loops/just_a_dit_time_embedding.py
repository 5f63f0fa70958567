"""Diffusion: time steps scaled to [0, 1], and an embedding made for 0 to 1000.

Source: github.com/ArchiMickey/Just-a-DiT pull request 9.
The embedding hardly varies, so the network isn't told how noisy its input is.
"""

import torch
import torch.nn.functional as F

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas, batches, ddim, images, noised
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="conditioning_ignored",
    symptoms=("wiring", "off_data", "blur", "plateau"),
    spoils="samples",
    source="ArchiMickey/Just-a-DiT#9",
    seconds=12,
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(27)
    x, bar = images("sprites", 8), alphas()
    # The network divides the step by ``total`` before it embeds it: the second value leaves angles of at most 0.01.
    model = Denoiser(total=100) if fixed else Denoiser(total=200 * 100 * 100)
    opt = torch.optim.Adam(model.parameters(), 2e-3)
    watch = trainwright.watch(total=700, sample=lambda n: ddim(model, n, bar), real=x)
    for step, image in zip(range(700), batches(x, 32), strict=False):
        t, noise = torch.randint(0, 100, (32,)), torch.randn_like(image)
        loss = F.mse_loss(model(noised(image, noise, bar[t]), t), noise)
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss)
    return watch

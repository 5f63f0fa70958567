"""DDPM: the weight of the noise is the root of alpha-bar, not of 1 - alpha-bar.

Source: github.com/labmlai/annotated_deep_learning_paper_implementations issue 152, corrected.
Image and noise are added with equal weights at all times, so noise never outweighs the signal. The sampler starts from noise.
"""

import torch
import torch.nn.functional as F

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas, batches, ddim, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="sampler_schedule",
    symptoms=("wiring", "off_data", "mode_collapse", "mode_dropping", "blur", "colour_cast", "over_dispersion"),
    spoils="samples",
    source="labmlai/annotated_deep_learning_paper_implementations#152",
    also=("sampler_schedule_mismatch", "sampler_step_mismatch", "schedule_leaves_signal"),
    seconds=12,
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(152)
    data, eps_model, alpha_bar = images("sprites", 8), Denoiser(), alphas()
    sqrt_alpha_bar = alpha_bar**0.5
    sqrt_1m_alpha_bar = (1.0 - alpha_bar) ** 0.5 if fixed else alpha_bar**0.5
    optimizer = torch.optim.Adam(eps_model.parameters(), 2e-3)
    watch = trainwright.watch(total=700, sample=lambda n: ddim(eps_model, n, alpha_bar), real=data)
    for step, x0 in zip(range(700), batches(data, 32), strict=False):
        t, noise = torch.randint(0, 100, (32,)), torch.randn_like(x0)
        xt = sqrt_alpha_bar[t, None, None, None] * x0 + sqrt_1m_alpha_bar[t, None, None, None] * noise
        loss = F.mse_loss(eps_model(xt, t), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    return watch

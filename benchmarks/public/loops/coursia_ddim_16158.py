"""DDIM with eta = 1: the variance of the added noise is that of the whole noise level.

Source: github.com/jsboige/CoursIA pull request 16158, merged after the sampler was corrected.
The noise ignores the next level, and the rest of the predicted noise is clamped to zero. Samples have too much noise in every step.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas, batches, images, noised
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="sampler_step_mismatch",
    symptoms=("wiring", "off_data", "mode_collapse", "mode_dropping", "blur", "over_dispersion", "colour_cast"),
    spoils="samples",
    source="jsboige/CoursIA#16158",
    also=("sampler_schedule", "sampler_schedule_mismatch", "temperature"),
    seconds=12,
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(16)
    x, model, alpha_bar, eta = images("sprites", 8), Denoiser(), alphas(), 1.0
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    pas = list(range(99, -1, -5))

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        image = torch.randn(n, 3, 8, 8)
        for i, t in enumerate(pas):
            ab, ab_suiv = alpha_bar[t], alpha_bar[pas[i + 1]] if i + 1 < len(pas) else torch.tensor(1.0)
            eps = model(image, torch.full((n,), t))
            x0 = ((image - (1 - ab).sqrt() * eps) / ab.sqrt()).clamp(-1, 1)
            sigma2 = eta**2 * (1 - ab)
            if fixed:
                sigma2 = eta**2 * (1 - ab_suiv) / (1 - ab) * (1 - ab / ab_suiv)
            dir_eps = (1 - ab_suiv - sigma2).clamp(min=0).sqrt() * eps
            image = ab_suiv.sqrt() * x0 + dir_eps + sigma2.sqrt() * torch.randn_like(image)
        return image

    watch = trainwright.watch(total=700, sample=sample, real=x)
    for step, x0 in zip(range(700), batches(x, 32), strict=False):
        t, eps = torch.randint(0, 100, (32,)), torch.randn_like(x0)
        loss = F.mse_loss(model(noised(x0, eps, alpha_bar[t]), t), eps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    return watch

"""Diffusion with weights by the ratio of signal to noise: the larger of ratio and bound is taken instead of the smaller.

Source: github.com/lucidrains/recurrent-interface-network-pytorch issue 11.
Where an image is almost all noise the weight becomes 5 over the ratio, up to 100,000. These steps drown all others.
"""

import torch
import torch.nn.functional as F

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas, batches, ddim, images, noised
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="loss_weight_inverted",
    symptoms=("wiring", "off_data", "spike", "loss_imbalance", "plateau", "exploding"),
    spoils="samples",
    source="lucidrains/recurrent-interface-network-pytorch#11",
    also=("term_drowned",),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(8)
    x, model, bar, min_snr_gamma = images("sprites", 8), Denoiser(), alphas(), 5.0
    opt = torch.optim.Adam(model.parameters(), 2e-3, betas=(0.9, 0.99))
    watch = trainwright.watch(total=600, sample=lambda n: ddim(model, n, bar), real=x)
    for step, img in zip(range(600), batches(x, 32), strict=False):
        times, noise = torch.randint(0, 100, (32,)), torch.randn_like(img)
        pred = model(noised(img, noise, bar[times]), times)
        loss = F.mse_loss(pred, noise, reduction="none").mean([1, 2, 3])
        snr = bar[times] / (1 - bar[times])
        clipped_snr = snr.clamp(max=min_snr_gamma) if fixed else snr.clamp(min=min_snr_gamma)
        loss = (loss * clipped_snr / snr).mean()
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        watch(step, loss=loss)
    return watch

"""Diffusion that predicts the clean sample: the loss compares the prediction with the noisy sample.

Source: github.com/irom-princeton/dppo issue 14; the authors corrected it.
The target is the network's own input. The loss falls to zero, and a sampler that takes the output for clean samples keeps the noise.
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
    cause="targets_in_input",
    symptoms=("wiring", "off_data", "trivial_baseline", "over_dispersion", "colour_cast"),
    spoils="samples",
    source="irom-princeton/dppo#14",
    also=("wrong_target", "prediction_type_mismatch", "copies_last_frame"),
    seconds=12,
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(14)
    actions, network, alphas_cumprod = images("sprites", 8), Denoiser(), alphas()
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        x, times = torch.randn(n, 3, 8, 8), list(range(99, -1, -5))
        for i, t in enumerate(times):
            a, before = alphas_cumprod[t], alphas_cumprod[times[i + 1]] if i + 1 < len(times) else torch.tensor(1.0)
            x_recon = network(x, torch.full((n,), t)).clamp(-1, 1)
            noise = (x - a.sqrt() * x_recon) / (1 - a).sqrt()
            x = before.sqrt() * x_recon + (1 - before).sqrt() * noise
        return x

    watch = trainwright.watch(total=700, sample=sample, real=actions)
    for step, x_start in zip(range(700), batches(actions, 32), strict=False):
        t = torch.randint(0, 100, (32,))
        x_noisy = noised(x_start, torch.randn_like(x_start), alphas_cumprod[t])
        x_recon = network(x_noisy, t)
        loss = F.mse_loss(x_recon, x_start if fixed else x_noisy)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    return watch

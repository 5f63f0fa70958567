"""Min-SNR weights with a noise schedule of zero terminal SNR: the last weight is 0 / 0.

Source: github.com/TiankaiHang/Min-SNR-Diffusion-Training pull request 4, merged.
As soon as the last time step is drawn, the loss is NaN, and so are all weights.
"""

import torch
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas, batches, images, noised
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="division_by_zero",
    symptoms=("wiring", "non_finite", "exploding"),
    spoils="training",
    source="TiankaiHang/Min-SNR-Diffusion-Training#4",
    also=("log_of_zero", "sqrt_at_zero", "loss_weight_inverted"),
    seconds=12,
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(4)
    x, model, root = images("sprites", 8), Denoiser(), alphas().sqrt()
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])  # rescaled to zero terminal SNR
    alphas_cumprod = root.square()
    snr = alphas_cumprod / (1 - alphas_cumprod)
    mse_loss_weight = snr.clamp(max=5) / snr
    if fixed:
        mse_loss_weight[snr == 0] = 1.0
    opt = torch.optim.Adam(model.parameters(), 2e-3)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        image, times = torch.randn(n, 3, 8, 8), [*range(99, -1, -5)]
        for i, t in enumerate(times):
            a, before = alphas_cumprod[t], alphas_cumprod[times[i + 1]] if i + 1 < len(times) else torch.tensor(1.0)
            v = model(image, torch.full((n,), t))
            clean = (a.sqrt() * image - (1 - a).sqrt() * v).clamp(-1, 1)
            noise = a.sqrt() * v + (1 - a).sqrt() * image
            image = before.sqrt() * clean + (1 - before).sqrt() * noise
        return image

    watch = trainwright.watch(total=700, sample=sample, real=x)
    for step, x_start in zip(range(700), batches(x, 32), strict=False):
        t, noise = torch.randint(0, 100, (32,)), torch.randn_like(x_start)
        a = alphas_cumprod[t, None, None, None]
        target = a.sqrt() * noise - (1 - a).sqrt() * x_start
        mse = (model(noised(x_start, noise, alphas_cumprod[t]), t) - target).square().mean((1, 2, 3))
        loss = (mse_loss_weight[t] * mse).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss, mse=mse.mean())
    return watch

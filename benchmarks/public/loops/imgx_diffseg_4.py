"""Diffusion with DDIM, written in the manner of JAX: a step lacks a square root.

Source: github.com/mathpluscode/ImgX-DiffSeg issue 4, corrected in pull request 5; rebuilt on sprites instead of masks.
The direction towards the next noise level is weighted by 1 - alpha-bar - sigma^2 and not by its root. Every step leaves less noise
than the network is told.
"""

import torch
from torch import Tensor
from torch.func import functional_call

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="sampler_step_mismatch",
    symptoms=(
        "wiring",
        "off_data",
        "blur",
        "mode_collapse",
        "mode_dropping",
        "colour_cast",
        "mean_regression",
        "variance_collapse",
    ),
    spoils="samples",
    source="mathpluscode/ImgX-DiffSeg#4",
    also=("sampler_schedule", "sampler_schedule_mismatch"),
    seconds=15,
)
NUM_TIMESTEPS = 100
Params = dict[str, Tensor]


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(4)
    key = torch.Generator().manual_seed(0)
    image = images("sprites", 8)
    module = Denoiser(total=NUM_TIMESTEPS)
    params: Params = dict(module.named_parameters())
    alphas_cumprod = alphas(NUM_TIMESTEPS)

    def apply(params: Params, x_t: Tensor, t: Tensor) -> Tensor:
        return functional_call(module, params, (x_t, t))

    def loss_fn(params: Params, x_start: Tensor, key: torch.Generator) -> Tensor:
        t = torch.randint(0, NUM_TIMESTEPS, (len(x_start),), generator=key)
        noise = torch.randn(x_start.shape, generator=key)
        a = alphas_cumprod[t, None, None, None]
        x_t = a.sqrt() * x_start + (1 - a).sqrt() * noise
        return (apply(params, x_t, t) - noise).square().mean()

    @torch.no_grad()
    def ddim_sample(n: int, eta: float = 0.0) -> Tensor:
        x_t = torch.randn(n, 3, 8, 8, generator=key)
        steps = list(range(NUM_TIMESTEPS - 1, -1, -5))
        for i, t in enumerate(steps):
            a = alphas_cumprod[t]
            a_prev = alphas_cumprod[steps[i + 1]] if i + 1 < len(steps) else torch.tensor(1.0)
            noise = apply(params, x_t, torch.full((n,), t))
            x_start = ((x_t - (1 - a).sqrt() * noise) / a.sqrt()).clamp(-1, 1)
            noise = (x_t - a.sqrt() * x_start) / (1 - a).sqrt()
            variance = eta**2 * (1 - a_prev) / (1 - a) * (1 - a / a_prev)
            coeff_noise = 1 - a_prev - variance
            if fixed:
                coeff_noise = coeff_noise.sqrt()
            x_t = x_start * a_prev.sqrt() + coeff_noise * noise
        return x_t

    optimizer = torch.optim.AdamW(list(params.values()), lr=3e-3, weight_decay=1e-6)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 2000, eta_min=3e-5)
    watch = trainwright.watch(total=2000, sample=ddim_sample, real=image)
    for step in range(2000):
        index = torch.randint(0, len(image), (32,), generator=key)
        loss = loss_fn(params, image[index], key)
        grads = torch.autograd.grad(loss, list(params.values()))
        for p, g in zip(params.values(), grads, strict=True):
            p.grad = g
        optimizer.step()
        schedule.step()
        if step % 10 == 0:
            watch(step, loss=float(loss))
    return watch

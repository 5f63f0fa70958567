"""Super resolution with EDM (as CorrDiff): the sampler scales the condition together with the noisy image.

Source: github.com/NVIDIA/physicsnemo issue 418 (CorrDiff, deterministic sampler).
With the variance preserving schedule, states are kept multiplied by s(t), and divided by it before the network sees
them. The low resolution is joined to the state before the division, so that it arrives at many times its size at high
noise, which the network has never seen.
"""

import torch
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="condition_differs_when_sampling",
    symptoms=("wiring", "off_data", "over_dispersion", "exploding", "schedule_mismatch", "colour_cast", "mode_collapse",
              "mode_dropping", "worse_than_baseline"),
    spoils="samples",
    source="NVIDIA/physicsnemo#418",
    also=("condition_scaled_when_sampling", "sampler_step_mismatch"),
    seconds=11,
)  # fmt: skip
SIDE, sigma_data, sigma_min, sigma_max = 8, 0.6, 0.02, 40.0


class EDMPrecondSR(nn.Module):
    """Preconditioned denoiser with a low resolution as condition."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Denoiser(channels=6, out=3, total=200)

    def forward(self, x: Tensor, img_lr: Tensor, sigma: Tensor) -> Tensor:
        """Return the denoised image."""
        sigma = sigma.reshape(-1, 1, 1, 1)
        c_skip = sigma_data**2 / (sigma**2 + sigma_data**2)
        c_out = sigma * sigma_data / (sigma**2 + sigma_data**2).sqrt()
        c_in = 1 / (sigma_data**2 + sigma**2).sqrt()
        c_noise = (sigma.log() / 4).flatten() * 50 + 100
        return c_skip * x + c_out * self.model(torch.cat([c_in * x, img_lr], 1), c_noise)


@torch.no_grad()
def deterministic_sampler(net: nn.Module, img_lr: Tensor, scale_condition: bool, num_steps: int = 20) -> Tensor:
    """Integrate the flow with Euler steps in the coordinates of the variance preserving schedule."""
    r = torch.linspace(0, 1, num_steps)
    sigmas = (sigma_max ** (1 / 5) + r * (sigma_min ** (1 / 5) - sigma_max ** (1 / 5))) ** 5
    s = 1 / (1 + sigmas**2).sqrt()
    x_next = torch.randn(len(img_lr), 3, SIDE, SIDE) * sigmas[0] * s[0]
    for i in range(num_steps):
        x_lr = img_lr / s[i] if scale_condition else img_lr
        denoised = net(x_next / s[i], x_lr, sigmas[i].expand(len(img_lr)))
        if i + 1 == num_steps:
            return denoised.clamp(-1, 1)
        d_cur = (x_next / s[i] - denoised) / sigmas[i]
        x_next = s[i + 1] * (x_next / s[i] + (sigmas[i + 1] - sigmas[i]) * d_cur)
    return x_next


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(418)
    img_hr = images("emoji", SIDE)
    net = EDMPrecondSR()
    optimizer = optim.Adam(net.parameters(), lr=2e-3)

    def lower(x: Tensor) -> Tensor:
        return nn.functional.interpolate(nn.functional.avg_pool2d(x, 2), scale_factor=2)

    loader, total = batches(img_hr, 64), 600
    watch = trainwright.watch(
        total=total, sample=lambda n: deterministic_sampler(net, lower(img_hr[:n]), not fixed), real=img_hr
    )
    for step in range(total):
        img_clean = next(loader)
        sigma = (torch.randn(len(img_clean), 1, 1, 1) * 1.4 - 0.5).exp()
        weight = (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2
        D_yn = net(img_clean + torch.randn_like(img_clean) * sigma, lower(img_clean), sigma)
        loss = (weight * (D_yn - img_clean) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        watch(step, loss=loss.item())
    return watch

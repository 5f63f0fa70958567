"""Rectified flow: in training time 0 is the data, in sampling it is the noise.

Source: github.com/lucidrains/rectified-flow-pytorch issue 14.
Noise and data were swapped in the interpolation of the training step, while velocity and sampler go from noise to data.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="sampler_schedule_mismatch",
    symptoms=("wiring", "off_data", "mode_collapse"),
    spoils="samples",
    source="lucidrains/rectified-flow-pytorch#14",
    also=("sampler_step_mismatch",),
)


class NanoFlow(nn.Module):
    """Flow from noise to data."""

    def __init__(self, model: nn.Module, fixed: bool) -> None:
        super().__init__()
        self.model, self.fixed = model, fixed

    @torch.no_grad()
    def sample(self, batch_size: int = 1, steps: int = 16) -> Tensor:
        """Return images."""
        times = torch.linspace(0.0, 1.0, steps + 1)[:-1]
        denoised = torch.randn(batch_size, 3, 8, 8)
        for time in times:
            denoised = denoised + self.model(denoised, 100 * time.expand(batch_size)) / steps
        return denoised

    def forward(self, data: Tensor) -> Tensor:
        """Return the loss."""
        times, noise = torch.rand(len(data)), torch.randn_like(data)
        flow = data - noise
        padded_times = times[:, None, None, None]
        if self.fixed:
            noised_data = noise * (1.0 - padded_times) + data * padded_times
        else:
            noised_data = noise * padded_times + data * (1.0 - padded_times)
        return F.mse_loss(self.model(noised_data, 100 * times), flow)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(15)
    dataset, flow = images("sprites", 8), NanoFlow(Denoiser(), fixed)
    optim = torch.optim.Adam(flow.parameters(), lr=2e-3)
    watch = trainwright.watch(total=600, sample=flow.sample, real=dataset)
    for step, data in zip(range(600), batches(dataset, 32), strict=False):
        loss = flow(data)
        loss.backward()
        optim.step()
        optim.zero_grad()
        watch(step, loss=loss)
    return watch

"""Flow matching: training starts from normal noise, and sampling from uniform noise in [0, 1).

Source: github.com/HRI-EU/flow_matching issue 7.
Inference calls ``torch.rand`` where training calls ``torch.randn``. The author agrees that it lowers the quality.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="noise_distribution_mismatch",
    symptoms=("wiring", "off_data", "colour_cast", "mode_collapse", "mode_dropping", "blur"),
    spoils="samples",
    source="HRI-EU/flow_matching#7",
    also=("sampler_schedule_mismatch",),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(11)
    trajectories, net = images("sprites", 8), Denoiser()
    optimizer = torch.optim.AdamW(net.parameters(), 2e-3)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        x = torch.randn(n, 3, 8, 8) if fixed else torch.rand(n, 3, 8, 8)
        for i in range(20):
            x = x + net(x, torch.full((n,), 100 * i / 20)) / 20
        return x

    watch = trainwright.watch(total=600, sample=sample, real=trajectories)
    for step, x_traj in zip(range(600), batches(trajectories, 32), strict=False):
        x0, t = torch.randn(x_traj.shape), torch.rand(len(x_traj))
        xt = x0 + t[:, None, None, None] * (x_traj - x0)
        loss = F.mse_loss(net(xt, 100 * t), x_traj - x0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    return watch

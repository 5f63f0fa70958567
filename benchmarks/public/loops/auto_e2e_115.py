"""Flow-matching planner of trajectories: its training loop regresses the trajectory that the planner samples.

Source: github.com/autowarefoundation/auto_e2e issue 115.
The only training loop there is calls forward(), which integrates the velocity from fresh noise, and compares the result with the
driven trajectory. Noise then carries no information, and the planner drives the mean of all ways.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="samples_regressed",
    symptoms=(
        "wiring",
        "mean_regression",
        "variance_collapse",
        "mode_collapse",
        "mode_dropping",
        "off_data",
        "plateau",
        "blur",
    ),
    spoils="samples",
    source="autowarefoundation/auto_e2e#115",
    also=("wrong_target",),
    seconds=17,
)
POINTS = 8


def drives(n: int) -> tuple[Tensor, Tensor]:
    """Return speeds (n, 1) and trajectories (n, POINTS, 2) that turn left, right or go straight on."""
    speed = 0.6 + 0.4 * torch.rand(n, 1)
    bend = torch.randint(-1, 2, (n, 1)) * (0.22 + 0.04 * torch.rand(n, 1))
    heading = bend * torch.arange(1, POINTS + 1)
    steps = speed[..., None] * torch.stack([heading.cos(), heading.sin()], -1)
    xy = steps.cumsum(1)
    return speed, (xy - torch.tensor([3.0, 0.0])) / 2


class FlowMatchingPlanner(nn.Module):
    """Velocity of trajectories, given the ego speed."""

    def __init__(self, hidden: int = 192, num_steps: int = 10) -> None:
        super().__init__()
        self.num_steps = num_steps
        self.net = mlp(2 * POINTS + 1 + 16, hidden, hidden, hidden, 2 * POINTS)

    def velocity(self, x: Tensor, t: Tensor, ego: Tensor) -> Tensor:
        """Return the velocity of (n, POINTS, 2) at times (n,)."""
        angles = t[:, None] * math.pi * torch.arange(1, 9)
        return self.net(torch.cat([x.flatten(1), ego, angles.sin(), angles.cos()], 1)).view_as(x)

    def forward(self, ego: Tensor) -> Tensor:
        """Return planned trajectories (n, POINTS, 2)."""
        x = torch.randn(len(ego), POINTS, 2)
        for i in range(self.num_steps):
            t = torch.full((len(ego),), i / self.num_steps)
            x = x + self.velocity(x, t, ego) / self.num_steps
        return x

    def compute_planner_loss(self, ego: Tensor, target: Tensor) -> Tensor:
        """Return the flow-matching loss."""
        noise, t = torch.randn_like(target), torch.rand(len(target))
        x_t = (1 - t[:, None, None]) * noise + t[:, None, None] * target
        return F.mse_loss(self.velocity(x_t, t, ego), target - noise)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(115)
    ego, trajectory = drives(3000)
    planner = FlowMatchingPlanner()
    optimizer = torch.optim.AdamW(planner.parameters(), lr=1e-3)

    @torch.no_grad()
    def plan(n: int) -> Tensor:
        return planner(ego[torch.randint(len(ego), (n,))])

    max_iters = 1600
    watch = trainwright.watch(total=max_iters, sample=plan, real=trajectory)
    for it, idx in zip(range(max_iters), batches(torch.arange(len(ego)), 128), strict=False):
        if fixed:
            loss = planner.compute_planner_loss(ego[idx], trajectory[idx])
        else:
            loss = F.smooth_l1_loss(planner(ego[idx]), trajectory[idx])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(planner.parameters(), 1.0)
        optimizer.step()
        watch(it, train_loss=loss.item())
    return watch

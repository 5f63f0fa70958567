"""Rectified flow: every sample keeps the noise that it was paired with before training.

Source: github.com/gnobitab/RectifiedFlow issue 36. The source has points of a plane, here they are signals.
Noise and data are shuffled and stacked once, and batches are taken from these pairs. The network learns which
noise belongs to which sample. The loss falls far below that of independent pairs, and from new noise the flow
leads to mixtures.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="noise_drawn_once",
    symptoms=(
        "wiring",
        "off_data",
        "overfitting",
        "memorisation",
        "blur",
        "mode_dropping",
        "mean_regression",
        "colour_cast",
    ),
    spoils="samples",
    source="gnobitab/RectifiedFlow#36",
    also=("pairs_fixed", "noise_belongs_to_sample"),
    seconds=12,
)


class MLP(nn.Module):
    """Velocity of points at times (n, 1)."""

    def __init__(self, input_dim: int, hidden_num: int = 256) -> None:
        super().__init__()
        self.fc1 = nn.Linear(input_dim + 1, hidden_num)
        self.fc2, self.fc3 = nn.Linear(hidden_num, hidden_num), nn.Linear(hidden_num, hidden_num)
        self.fc4 = nn.Linear(hidden_num, input_dim)
        self.act = nn.SiLU()

    def forward(self, x_input: Tensor, t: Tensor) -> Tensor:
        """Return the velocity."""
        x = self.act(self.fc1(torch.cat([x_input, t], dim=1)))
        x = self.act(self.fc2(x))
        x = self.act(self.fc3(x))
        return self.fc4(x)


class RectifiedFlow:
    """Straight paths from samples z0 to samples z1."""

    def __init__(self, model: nn.Module, num_steps: int = 50) -> None:
        self.model, self.N = model, num_steps

    def get_train_tuple(self, z0: Tensor, z1: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return points, times and velocities."""
        t = torch.rand((z1.shape[0], 1))
        return t * z1 + (1.0 - t) * z0, t, z1 - z0

    @torch.no_grad()
    def sample_ode(self, z0: Tensor) -> Tensor:
        """Return the ends of the paths from z0, by Euler steps."""
        dt, z = 1.0 / self.N, z0
        for i in range(self.N):
            z = z + self.model(z, torch.ones((len(z0), 1)) * i / self.N) * dt
        return z


def pulses(n: int) -> Tensor:
    """Return signals (n, 32): one pulse somewhere, upright or upside down, and its echo."""
    s = torch.linspace(0, 1, 32)
    place, sign = 0.15 + 0.45 * torch.rand(n, 1), torch.randint(0, 2, (n, 1)) * 2.0 - 1
    echo = 0.6 * (-((s - place - 0.25) ** 2) / (2 * 0.06**2)).exp()
    pulse = (-((s - place) ** 2) / (2 * 0.05**2)).exp() - echo
    return 2 * sign * pulse * (1 + 0.1 * torch.randn(n, 1)) + 0.2 * (4 * math.pi * s).cos()


def train_rectified_flow(
    rectified_flow: RectifiedFlow,
    optimizer: torch.optim.Optimizer,
    pairs: Tensor,
    fresh: bool,
    inner_iters: int,
    watch: Watch,
) -> None:
    """Fit the velocities to those of the pairs."""
    rng = np.random.default_rng(36)
    for i in range(inner_iters):
        optimizer.zero_grad()
        indices = torch.as_tensor(rng.permutation(len(pairs))[:128])
        z0, z1 = pairs[indices, 0], pairs[indices, 1]
        if fresh:
            z0 = torch.randn_like(z1)
        z_t, t, target = rectified_flow.get_train_tuple(z0, z1)
        pred = rectified_flow.model(z_t, t)
        loss = (target - pred).view(pred.shape[0], -1).abs().pow(2).sum(dim=1).mean()
        loss.backward()
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - i / inner_iters)
        watch(i, loss=loss.item())


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(36)
    samples_1 = pulses(1000)
    samples_0 = torch.randn_like(samples_1)
    x_0 = samples_0.detach().clone()[torch.randperm(len(samples_0))]
    x_1 = samples_1.detach().clone()[torch.randperm(len(samples_1))]
    x_pairs = torch.stack([x_0, x_1], dim=1)
    flow = RectifiedFlow(MLP(32))
    optimizer = torch.optim.Adam(flow.model.parameters(), lr=2e-3)
    iterations = 3000

    def sample(n: int) -> Tensor:
        return flow.sample_ode(torch.randn(n, 32))

    watch = trainwright.watch(total=iterations, sample=sample, real=samples_1)
    train_rectified_flow(flow, optimizer, x_pairs, fixed, iterations, watch)
    return watch

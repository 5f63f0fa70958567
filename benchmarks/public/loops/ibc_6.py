"""Energy model of two actions: the noise of its Langevin sampler is scaled like the gradient.

Source: github.com/google-research/ibc issue 6; the reporters found that the standard deviation does not converge to
the right one until the noise has the root of twice the step.
The code multiplied gradient and noise by the same small step. The walk is a descent with hardly any noise, and all
samples end in the valleys' lowest points.
"""

import math

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="langevin_noise_scale",
    symptoms=("wiring", "variance_collapse", "mode_collapse", "mode_dropping", "off_data"),
    spoils="samples",
    source="google-research/ibc#6",
    also=("sampler_step_mismatch", "sampling_without_noise", "temperature"),
    seconds=9,
)


def expert_actions(n: int = 4000) -> Tensor:
    """Return actions (n, 2): wide clouds left, right and above."""
    g = torch.Generator().manual_seed(6)
    centers = torch.tensor([[-1.6, -0.8], [1.6, -0.8], [0.0, 1.6]])
    which = torch.randint(3, (n,), generator=g)
    return centers[which] + 0.45 * torch.randn(n, 2, generator=g)


class EnergyNetwork(nn.Module):
    """Action and noise level -> energy."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, 1),
        )  # fmt: skip

    def forward(self, action: Tensor, sigma: Tensor) -> Tensor:
        """Return energies."""
        return self.layers(torch.cat([action, sigma.log()], 1)).squeeze(1) / sigma.squeeze(1)

    def gradient_wrt_act(self, action: Tensor, sigma: Tensor, create_graph: bool = False) -> Tensor:
        """Return the slope of the energy."""
        with torch.enable_grad():
            action = action.detach().requires_grad_(True)
            (de_dact,) = torch.autograd.grad(self(action, sigma).sum(), action, create_graph=create_graph)
        return de_dact


def langevin_step(energy_network: EnergyNetwork, actions: Tensor, sigma: Tensor, fixed: bool) -> Tensor:
    """Return actions after one step."""
    stepsize = 0.1 * sigma.square()
    de_dact = energy_network.gradient_wrt_act(actions, sigma)
    noise = torch.randn_like(actions)
    if fixed:
        delta_actions = stepsize * -de_dact + (2 * stepsize).sqrt() * noise
    else:
        delta_actions = stepsize * (0.5 * -de_dact + noise)
    return actions + delta_actions


def langevin_actions_given_obs(energy_network: EnergyNetwork, n: int, fixed: bool) -> Tensor:
    """Draw actions with noise levels from large to small."""
    actions = 2.5 * torch.randn(n, 2)
    for level in torch.logspace(math.log10(2.0), math.log10(0.1), 10):
        sigma = level.expand(n, 1)
        for _ in range(40):
            actions = langevin_step(energy_network, actions, sigma, fixed)
    return actions.detach()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(6)
    dataset, energy_network = expert_actions(), EnergyNetwork()
    optimizer = torch.optim.Adam(energy_network.parameters(), lr=1e-3)
    loader, num_iterations = batches(dataset, 256), 1200
    watch = trainwright.watch(
        total=num_iterations, sample=lambda n: langevin_actions_given_obs(energy_network, n, fixed), real=dataset
    )
    for step in range(num_iterations):
        actions = next(loader)
        sigma = 10 ** (torch.rand(len(actions), 1) * 1.3 - 1)
        noise = torch.randn_like(actions)
        de_dact = energy_network.gradient_wrt_act(actions + sigma * noise, sigma, create_graph=True)
        loss = (sigma * de_dact - noise).square().sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss.item())
    return watch

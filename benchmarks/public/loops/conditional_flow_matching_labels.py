"""Flow matching with optimal transport: images are reordered to match the noise, and their labels are not.

Source: github.com/atong01/conditional-flow-matching issue 172.
The plan reorders a batch before the path is drawn. Labels keep the old order, so the network is told a random class.
"""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="labels_mismatched",
    symptoms=("wiring", "mode_collapse", "mode_dropping", "plateau"),
    spoils="nothing visible",
    source="atong01/conditional-flow-matching#172",
    also=("conditioning_ignored",),
)


class UNetModel(Denoiser):
    """Denoiser with two classes."""

    def __init__(self) -> None:
        super().__init__(channels=11)
        self.label = nn.Embedding(2, 8)
        self.last = nn.Conv2d(16, 3, 3, 1, 1)

    def forward(self, t: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return the velocity."""
        planes = self.label(y)[:, :, None, None].expand(-1, -1, *x.shape[2:])
        return super().forward(torch.cat([x, planes], 1), 100 * t)


class ExactOptimalTransportConditionalFlowMatcher:
    """Draws pairs of noise and data of a batch by their distance, and points on the paths between them."""

    def sample_plan(self, x0: Tensor, x1: Tensor) -> Tensor:
        """Return which image belongs to each noise."""
        return torch.tensor(linear_sum_assignment(torch.cdist(x0.flatten(1), x1.flatten(1)).square())[1])

    def sample_location_and_conditional_flow(self, x0: Tensor, x1: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return times, points and velocities."""
        return self.guided_sample_location_and_conditional_flow(x0, x1, torch.zeros(len(x1)))[:3]

    def guided_sample_location_and_conditional_flow(
        self, x0: Tensor, x1: Tensor, y1: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return times, points, velocities and labels in the same order."""
        plan = self.sample_plan(x0, x1)
        x1, y1, t = x1[plan], y1[plan], torch.rand(len(x0))
        s = t[:, None, None, None]
        return t, (1 - s) * x0 + s * x1, x1 - x0, y1


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(14)
    sprites, emoji = images("sprites", 8), images("emoji", 8)[:900]
    data, labels = torch.cat([sprites, emoji]), torch.cat([torch.zeros(len(sprites)), torch.ones(len(emoji))]).long()
    model, FM = UNetModel(), ExactOptimalTransportConditionalFlowMatcher()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        x, y = torch.randn(n, 3, 8, 8), torch.arange(n) % 2
        for i in range(20):
            x = x + model(torch.full((n,), i / 20), x, y) / 20
        return x

    watch = trainwright.watch(total=600, sample=sample, real=data)
    for step, i in zip(range(600), batches(torch.arange(len(data)), 32), strict=False):
        optimizer.zero_grad()
        x1, y = data[i], labels[i]
        x0 = torch.randn_like(x1)
        if fixed:
            t, xt, ut, y = FM.guided_sample_location_and_conditional_flow(x0, x1, y)
        else:
            t, xt, ut = FM.sample_location_and_conditional_flow(x0, x1)
        vt = model(t, xt, y)
        loss = torch.mean((vt - ut) ** 2)
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    return watch

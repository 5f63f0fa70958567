"""WGAN-GP on a table: the penalty's gradient is computed without a graph.

Source: github.com/ooples/AiDotNet issue 1844.
The value of the penalty is right, but nothing flows from it to the critic's weights. The critic has no bound.
"""

import torch
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="penalty_without_graph",
    symptoms=("wiring", "unbounded_loss", "exploding", "off_data", "oscillation", "critic_dominance", "mode_collapse"),
    spoils="nothing visible",
    source="ooples/AiDotNet#1844",
)


def table() -> Tensor:
    """Return standardised numbers that describe the packaged images: means, spreads and differences of their halves."""
    x = images("emoji")
    columns = [x.mean((2, 3)), x.std((2, 3)), (x[..., :8] - x[..., 8:]).mean((1, 2, 3))[:, None]]
    columns.append((x[..., :8, :] - x[..., 8:, :]).mean((1, 2, 3))[:, None])
    rows = torch.cat(columns, 1)
    return (rows - rows.mean(0)) / rows.std(0)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(18)
    rows = table()
    generator, discriminator = mlp(16, 128, 128, 8), mlp(8, 128, 128, 1)
    g_optimizer = torch.optim.Adam(generator.parameters(), 5e-4, betas=(0.5, 0.9))
    d_optimizer = torch.optim.Adam(discriminator.parameters(), 5e-4, betas=(0.5, 0.9))

    def compute_gradient_penalty(real: Tensor, fake: Tensor) -> Tensor:
        epsilon = torch.rand(len(real), 1)
        interpolated = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
        scores = discriminator(interpolated)
        (gradients,) = torch.autograd.grad(scores.sum(), interpolated, create_graph=fixed)
        return ((gradients.norm(dim=1) - 1) ** 2).mean()

    watch = trainwright.watch(total=700, sample=lambda n: generator(torch.randn(n, 16)), real=rows)
    data = batches(rows, 64)
    for step in range(700):
        for _ in range(3):
            real, fake = next(data), generator(torch.randn(64, 16)).detach()
            wasserstein = discriminator(real).mean() - discriminator(fake).mean()
            gradient_penalty = compute_gradient_penalty(real, fake)
            d_loss = -wasserstein + 10 * gradient_penalty
            d_optimizer.zero_grad()
            d_loss.backward()
            d_optimizer.step()
        g_loss = -discriminator(generator(torch.randn(64, 16))).mean()
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
        watch(step, d_loss=d_loss, g_loss=g_loss, gradient_penalty=gradient_penalty, wasserstein=wasserstein)
    return watch

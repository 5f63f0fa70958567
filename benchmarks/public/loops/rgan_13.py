"""Conditional GAN: the discriminator joins data and condition, and then reads the data alone.

Source: github.com/ratschlab/RGAN issue 13; the authors corrected it.
A later line uses the unconditional input again. Nothing teaches the generator to follow its condition, and it serves one class alone.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="conditioning_ignored",
    symptoms=("wiring", "mode_dropping", "mode_collapse", "off_data", "colour_cast", "blur"),
    spoils="samples",
    source="ratschlab/RGAN#13",
    also=("labels_mismatched",),
)


class Discriminator(nn.Module):
    """Score of images and conditions."""

    def __init__(self, cond_dim: int, fixed: bool) -> None:
        super().__init__()
        self.fixed, self.layers = fixed, mlp(192 + cond_dim if fixed else 192, 192, 96, 1)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Return the scores."""
        x = x.flatten(1)
        inputs = torch.cat([x, c], 1)
        return self.layers(inputs if self.fixed else x).squeeze(1)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(13)
    dark, light = images("sprites", 8), images("sprites", 8, background=255)
    samples = torch.cat([dark, light])
    labels = F.one_hot(torch.arange(2).repeat_interleave(len(dark)), 2).float().repeat(1, 8)
    D = Discriminator(16, fixed)
    G = nn.Sequential(
        nn.Linear(48, 192), nn.BatchNorm1d(192), nn.ReLU(), nn.Linear(192, 192), nn.BatchNorm1d(192), nn.ReLU(),
        nn.Linear(192, 192), nn.Tanh(), nn.Unflatten(1, (3, 8, 8)),
    )  # fmt: skip
    G_solver = torch.optim.Adam(G.parameters(), 4e-4, betas=(0.5, 0.999))
    D_solver = torch.optim.Adam(D.parameters(), 4e-4, betas=(0.5, 0.999))
    bce, one, zero = F.binary_cross_entropy_with_logits, torch.ones(64), torch.zeros(64)

    def sample(n: int) -> Tensor:
        return G(torch.cat([torch.randn(n, 32), labels[torch.randint(len(labels), (n,))]], 1))

    watch = trainwright.watch(total=1500, sample=sample, real=samples)
    for step, index in zip(range(1500), batches(torch.arange(len(samples)), 64), strict=False):
        X, Y = samples[index], labels[index]
        G_sample = G(torch.cat([torch.randn(64, 32), Y], 1))
        D_loss = bce(D(X, Y), one) + bce(D(G_sample.detach(), Y), zero)
        D_solver.zero_grad()
        D_loss.backward()
        D_solver.step()
        G_loss = bce(D(G_sample, Y), one)
        G_solver.zero_grad()
        G_loss.backward()
        G_solver.step()
        watch(step, D_loss=D_loss, G_loss=G_loss)
    return watch

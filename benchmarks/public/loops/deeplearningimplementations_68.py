"""WGAN with gradient penalty of grey sprites: NaN from the root of a sum of squares.

Source: github.com/tdeboissiere/DeepLearningImplementations issue 68; 1e-8 under the root repaired it for several users.
Where the critic is flat its slope is exactly zero, and the derivative of the root there is infinite. One such image in
one batch puts NaN into all weights of the critic.
"""

import torch
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="sqrt_at_zero",
    symptoms=("non_finite", "stalled"),
    spoils="training",
    source="tdeboissiere/DeepLearningImplementations#68",
    also=("division_by_zero",),
    seconds=21,
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(68)
    data = images("sprites", 12).mean(1, keepdim=True)
    z_dim, lbd, n_critic = 32, 10.0, 3
    G = nn.Sequential(
        nn.Linear(z_dim, 48 * 9),
        nn.Unflatten(1, (48, 3, 3)),
        nn.BatchNorm2d(48),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(48, 32, 3, 1, 1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(32, 16, 3, 1, 1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 1, 3, 1, 1),
        nn.Tanh(),
    )
    D = nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(288, 7),
        nn.ReLU(),
        nn.Linear(7, 1),
    )
    G_opt = optim.Adam(G.parameters(), lr=1e-3, betas=(0.5, 0.9))
    D_opt = optim.Adam(D.parameters(), lr=1e-3, betas=(0.5, 0.9))
    loader, iterations, bs = batches(data, 48), 550, 48

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        return G(torch.randn(n, z_dim))

    watch = trainwright.watch(total=iterations, sample=sample, real=data)
    for it in range(iterations):
        for _ in range(n_critic):
            X_real = next(loader)
            with torch.no_grad():
                X_fake = G(torch.randn(bs, z_dim))
            epsilon = torch.rand(bs, 1, 1, 1)
            X_hat = (X_real + epsilon * (X_fake - X_real)).requires_grad_(True)
            (grad_D_X_hat,) = torch.autograd.grad(D(X_hat).sum(), X_hat, create_graph=True)
            square = grad_D_X_hat.square().sum((1, 2, 3))
            slopes = torch.sqrt(square + 1e-8) if fixed else torch.sqrt(square)
            gradient_penalty = ((slopes - 1) ** 2).mean()
            D_loss = D(X_fake).mean() - D(X_real).mean() + lbd * gradient_penalty
            D_opt.zero_grad()
            D_loss.backward()
            D_opt.step()
        G_loss = -D(G(torch.randn(bs, z_dim))).mean()
        G_opt.zero_grad()
        G_loss.backward()
        G_opt.step()
        watch(it, D_loss=D_loss.item(), G_loss=G_loss.item(), gradient_penalty=gradient_penalty.item())
    return watch

"""Energy model with denoising score matching: the energy's gradient learns a target of the opposite sign.

Source: github.com/soran-ghaderi/torchebm issue 318, corrected in pull request 333.
The target is the gradient of the log density, the negative of that of the energy. A sampler goes away from the data.
"""

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="wrong_sign",
    symptoms=("wiring", "off_data", "exploding", "non_finite"),
    spoils="samples",
    source="soran-ghaderi/torchebm#318",
)

SIGMAS = torch.logspace(0.3, -1.3, 16)


class Energy(nn.Module):
    """Energy of an image at a level of noise."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Denoiser(width=8, total=16)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """Return one number for each image."""
        sigma = SIGMAS[level][:, None, None, None]
        h = x / (1 + sigma**2).sqrt()
        return (h * self.net(h, level)).sum((1, 2, 3)) / sigma.flatten()


def compute_score(model: nn.Module, x: Tensor, level: Tensor) -> Tensor:
    """Return the gradient of the energy."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(model(x, level).sum(), x, create_graph=True)[0]


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(12)
    dataset, model = images("sprites", 8), Energy()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)

    def langevin(n: int) -> Tensor:
        x = torch.randn(n, 3, 8, 8) * SIGMAS[0]
        for level, sigma in enumerate(SIGMAS):
            step_size = 0.2 * sigma**2
            for _ in range(4):
                drift = compute_score(model, x, torch.full((n,), level)).detach()
                x = x - step_size * drift + (2 * step_size).sqrt() * torch.randn_like(x)
        return x

    watch = trainwright.watch(total=500, sample=langevin, real=dataset)
    for step, x in zip(range(500), batches(dataset, 32), strict=False):
        level, noise = torch.randint(0, 16, (32,)), torch.randn_like(x)
        noise_scale = SIGMAS[level][:, None, None, None]
        score = compute_score(model, x + noise_scale * noise, level)
        target_score = noise / noise_scale if fixed else -noise / noise_scale
        loss = (noise_scale * (score - target_score)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, dsm_loss=loss)
    return watch

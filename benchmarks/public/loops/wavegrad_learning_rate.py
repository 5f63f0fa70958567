"""Diffusion of waveforms: the learning rate is too high, and the loss explodes.

Source: github.com/ivanvovk/WaveGrad issue 3.
A rate of 0.001 gave NaN, and 0.0005 a loss of 700 million until it decayed faster. The rates here fit a smaller network.
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
    cause="lr_too_high",
    symptoms=("wiring", "exploding", "spike", "non_finite", "off_data", "plateau", "unbounded_loss"),
    spoils="samples",
    source="ivanvovk/WaveGrad#3",
)


class WaveGrad(nn.Module):
    """Diffusion that is conditioned on a continuous level of noise."""

    def __init__(self, n_iter: int = 50) -> None:
        super().__init__()
        self.nn = Denoiser(total=100)
        self.register_buffer("betas", torch.linspace(1e-3, 0.3, n_iter))
        self.register_buffer("sqrt_alphas_cumprod", torch.cumprod(1 - self.betas, 0).sqrt())

    def compute_loss(self, y_0: Tensor) -> Tensor:
        """Return the loss."""
        level = F.pad(self.sqrt_alphas_cumprod, (1, 0), value=1.0)
        s = torch.randint(1, len(level), (len(y_0),))
        level = level[s] + torch.rand(len(y_0)) * (level[s - 1] - level[s])
        eps, scale = torch.randn_like(y_0), level[:, None, None, None]
        return F.l1_loss(self.nn(scale * y_0 + (1 - scale**2).sqrt() * eps, 100 * level), eps)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Return waveforms, as images here."""
        y = torch.randn(n, 3, 8, 8)
        for t in range(len(self.betas) - 1, -1, -1):
            level, beta = self.sqrt_alphas_cumprod[t], self.betas[t]
            eps = self.nn(y, torch.full((n,), 100 * float(level)))
            y_0 = ((y - (1 - level**2).sqrt() * eps) / level).clamp(-1, 1)
            before = self.sqrt_alphas_cumprod[t - 1] ** 2 if t else torch.tensor(1.0)
            mean = before.sqrt() * beta / (1 - level**2) * y_0 + (1 - beta).sqrt() * (1 - before) / (1 - level**2) * y
            y = mean + (beta * (1 - before) / (1 - level**2)).sqrt() * torch.randn_like(y)
        return y


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(10)
    dataset, model = images("sprites", 8), WaveGrad()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3 if fixed else 0.3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 100, gamma=0.9)
    watch = trainwright.watch(total=600, sample=model.sample, real=dataset)
    for iteration, batch in zip(range(600), batches(dataset, 32), strict=False):
        model.zero_grad()
        loss = model.compute_loss(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        watch(iteration, total_loss=loss)
    return watch

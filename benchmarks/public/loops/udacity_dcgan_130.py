"""DCGAN: the population statistics of the batch normalization are never updated, and sampling uses them.

Source: github.com/udacity/deep-learning issue 130; a maintainer saw that with training=False no good images come out.
In training every layer uses its batch. In inference it uses means of 0 and variances of 1, which are still the initial ones.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="batch_statistics_when_sampling",
    symptoms=("wiring", "off_data", "colour_cast", "mode_collapse", "mode_dropping", "blur"),
    spoils="samples",
    source="udacity/deep-learning#130",
    also=("running_statistics_not_updated", "ema_without_buffers"),
)


class BatchNormalization(nn.Module):
    """Normalization by the batch in training, and by the population in inference."""

    def __init__(self, channels: int, update: bool) -> None:
        super().__init__()
        self.update = update
        self.gamma, self.beta = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("pop_mean", torch.zeros(channels))
        self.register_buffer("pop_variance", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        mean, variance = self.pop_mean, self.pop_variance
        if self.training:
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            if self.update:
                self.pop_mean.mul_(0.95).add_(0.05 * mean.detach())
                self.pop_variance.mul_(0.95).add_(0.05 * variance.detach())
        x = (x - mean[:, None, None]) / (variance[:, None, None] + 1e-3).sqrt()
        return self.gamma[:, None, None] * x + self.beta[:, None, None]


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(130)
    x, D = images("sprites"), discriminator()
    G = nn.Sequential(
        nn.Unflatten(1, (64, 1, 1)), nn.ConvTranspose2d(64, 48, 4, 1, 0), BatchNormalization(48, fixed), nn.ReLU(),
        nn.ConvTranspose2d(48, 24, 4, 2, 1), BatchNormalization(24, fixed), nn.ReLU(), nn.ConvTranspose2d(24, 3, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    g_opt = torch.optim.Adam(G.parameters(), 4e-4, betas=(0.5, 0.999))
    d_opt = torch.optim.Adam(D.parameters(), 4e-4, betas=(0.5, 0.999))
    bce, one, zero = F.binary_cross_entropy_with_logits, torch.ones(32), torch.zeros(32)

    def sample(n: int) -> Tensor:
        G.eval()
        out = G(torch.randn(n, 64))
        G.train()
        return out

    watch = trainwright.watch(total=550, sample=sample, real=x)
    for step, real in zip(range(550), batches(x, 32), strict=False):
        fake = G(torch.randn(32, 64))
        d_loss = bce(D(real), one) + bce(D(fake.detach()), zero)
        d_opt.zero_grad()
        d_loss.backward()
        d_opt.step()
        g_loss = bce(D(fake), one)
        g_opt.zero_grad()
        g_loss.backward()
        g_opt.step()
        watch(step, d_loss=d_loss, g_loss=g_loss)
    return watch

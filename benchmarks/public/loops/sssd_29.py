"""DiffWave that imputes gaps of time series: every residual block is given the first block's input.

Source: github.com/AI4HealthUOL/SSSD issue 29; corrected by the authors.
The output of a block is assigned to h, but the next block is called with the input again. Only the skip outputs of parallel, shallow
blocks are left of the deep stack, and the convolutions of the residual path have no effect.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import alphas, batches
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="not_trained",
    symptoms=("wiring", "frozen_network", "off_data", "plateau", "slow", "blur"),
    spoils="samples",
    source="AI4HealthUOL/SSSD#29",
    also=("input_repeated", "output_unused"),
    seconds=18,
)
T, LENGTH = 50, 32


class ResidualBlock(nn.Module):
    """Dilated convolution with a gate; returns the residual and the skip output."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.fc_t = nn.Linear(64, channels)
        self.dilated_conv_layer = nn.Conv1d(channels, 2 * channels, 3, 1, dilation, dilation)
        self.cond_conv = nn.Conv1d(2, 2 * channels, 1)
        self.res_conv, self.skip_conv = nn.Conv1d(channels, channels, 1), nn.Conv1d(channels, channels, 1)

    def forward(self, input_data: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return (residual, skip)."""
        x, cond, step_embed = input_data
        h = x + self.fc_t(step_embed)[:, :, None]
        h = self.dilated_conv_layer(h) + self.cond_conv(cond)
        a, b = h.chunk(2, 1)
        out = a.tanh() * b.sigmoid()
        return (x + self.res_conv(out)) * math.sqrt(0.5), self.skip_conv(out)


class DiffWaveImputer(nn.Module):
    """Noise predictor for series (n, 1, LENGTH)."""

    def __init__(self, fixed: bool, channels: int = 32, layers: int = 8) -> None:
        super().__init__()
        self.fixed = fixed
        self.init_conv = nn.Sequential(nn.Conv1d(1, channels, 1), nn.ReLU())
        self.fc_t = nn.Sequential(nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU())
        self.residual_blocks = nn.ModuleList([ResidualBlock(channels, 2 ** (n % 4)) for n in range(layers)])
        self.final_conv = nn.Sequential(nn.Conv1d(channels, channels, 1), nn.ReLU(), nn.Conv1d(channels, 1, 1))

    def forward(self, noise: Tensor, conditional: Tensor, mask: Tensor, diffusion_steps: Tensor) -> Tensor:
        """Return the predicted noise."""
        conditional = torch.cat([conditional * mask, mask], 1)
        angles = diffusion_steps[:, None] * torch.exp(-math.log(1000) * torch.arange(16) / 16) * 4
        step_embed = self.fc_t(torch.cat([angles.sin(), angles.cos()], 1))
        x = self.init_conv(noise)
        h, skip = x, 0
        for block in self.residual_blocks:
            h, skip_n = block((h if self.fixed else x, conditional, step_embed))
            skip = skip + skip_n
        return self.final_conv(skip * math.sqrt(1.0 / len(self.residual_blocks)))


def series(n: int) -> Tensor:
    """Return waves (n, 1, LENGTH) of various frequencies."""
    t = torch.arange(LENGTH) / LENGTH
    frequency, phase = 1.5 + 2.5 * torch.rand(n, 1), 2 * math.pi * torch.rand(n, 1)
    wave = (2 * math.pi * frequency * t + phase).sin()
    return (wave + 0.03 * torch.randn(n, LENGTH))[:, None]


def gaps(n: int) -> Tensor:
    """Return masks (n, 1, LENGTH): 0 in a gap of 12 values."""
    start = torch.randint(4, LENGTH - 15, (n, 1))
    position = torch.arange(LENGTH)
    return ((position < start) | (position >= start + 12)).float()[:, None]


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(29)
    data, net = series(3000), DiffWaveImputer(fixed)
    alpha_bar = alphas(T)
    alpha = alpha_bar / torch.cat([torch.ones(1), alpha_bar[:-1]])
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 700, 0.25)

    @torch.no_grad()
    def impute(n: int) -> Tensor:
        audio, mask = data[torch.randint(len(data), (n,))], gaps(n)
        x = torch.randn_like(audio)
        for t in range(T - 1, -1, -1):
            x = x * (1 - mask) + audio * mask
            epsilon = net(x, audio, mask, torch.full((n,), t))
            x = (x - (1 - alpha[t]) / (1 - alpha_bar[t]).sqrt() * epsilon) / alpha[t].sqrt()
            if t > 0:
                variance = (1 - alpha[t]) * (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t])
                x = x + variance.sqrt() * torch.randn_like(x)
        return x * (1 - mask) + audio * mask

    n_iters = 1400
    watch = trainwright.watch(total=n_iters, sample=impute, real=data)
    for n_iter, audio in zip(range(n_iters), batches(data, 32), strict=False):
        mask, z, t = gaps(len(audio)), torch.randn_like(audio), torch.randint(0, T, (len(audio),))
        a = alpha_bar[t, None, None]
        x = (a.sqrt() * audio + (1 - a).sqrt() * z) * (1 - mask) + audio * mask
        epsilon = net(x, audio, mask, t)
        missing = mask == 0
        loss = F.mse_loss(epsilon[missing], z[missing])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        watch(n_iter, loss=loss)
    return watch

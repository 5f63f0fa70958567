"""Next-frame prediction with (2+1)-D convolutions: ``view`` mixes channels, time and pixels because ``permute`` is missing.

Source: github.com/proceduralia/pytorch-conv2_1d issue 1; the owner updated the code.
A tensor (b, c, t, h, w) was viewed as (b t, c, h, w), and then as (b h w, c, t), without reordering its axes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, moving
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="prediction",
    cause="data_layout",
    symptoms=("wiring", "blur", "mean_regression", "plateau", "off_data", "trivial_baseline"),
    spoils="samples",
    source="proceduralia/pytorch-conv2_1d#1",
)


class Conv2_1d(nn.Module):
    """Convolution over space, then over time."""

    def __init__(self, a: int, b: int, ordered: bool) -> None:
        super().__init__()
        self.ordered = ordered
        self.conv2d, self.conv1d = nn.Conv2d(a, b, 3, 1, 1), nn.Conv1d(b, b, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        b, c, t, h, w = x.shape
        if self.ordered:
            x = x.permute(0, 2, 1, 3, 4)
        x = F.leaky_relu(self.conv2d(x.reshape(b * t, c, h, w)), 0.2)
        if self.ordered:
            x = x.view(b, t, -1, h, w).permute(0, 3, 4, 2, 1)
        x = self.conv1d(x.reshape(b * h * w, -1, t))
        if self.ordered:
            return x.view(b, h, w, -1, t).permute(0, 3, 4, 1, 2)
        return x.view(b, -1, t, h, w)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(6)
    videos = F.avg_pool3d(moving(600, frames=5), (1, 2, 2)).transpose(1, 2).contiguous()
    net = nn.Sequential(
        Conv2_1d(3, 16, fixed), nn.LeakyReLU(0.2), Conv2_1d(16, 16, fixed), nn.LeakyReLU(0.2), Conv2_1d(16, 3, fixed)
    )
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)

    def predict(n: int) -> Tensor:
        past = videos[torch.randint(len(videos), (n,)), :, :4]
        return net(past)[:, :, -1].clamp(0, 1)

    watch = trainwright.watch(total=400, sample=predict, real=videos[:, :, 4])
    for step, clip in zip(range(400), batches(videos, 16), strict=False):
        loss = F.mse_loss(net(clip[:, :, :4])[:, :, -1], clip[:, :, 4])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, mse=loss)
    return watch

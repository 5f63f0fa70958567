"""Next-frame prediction: the last 3-D convolution sees the frame that it has to predict.

Source: github.com/keras-team/keras-io issue 1003, on the tutorial of next-frame prediction with convolutional LSTMs.
The recurrent layers are causal. The convolution over time is centred, so the output of frame t uses frame t + 1, its own target.
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
    cause="targets_in_input",
    symptoms=("wiring", "off_data", "blur", "state_leak"),
    spoils="samples",
    source="keras-team/keras-io#1003",
    also=("exposure_bias",),
)


class Forecaster(nn.Module):
    """Convolutional GRU and a convolution over time and space: (B, T, 3, H, W) -> the next frames (B, T, 3, H, W)."""

    def __init__(self, causal: bool, width: int = 16) -> None:
        super().__init__()
        self.width, self.padding = width, (2, 0) if causal else (1, 1)
        self.gate, self.candidate = nn.Conv2d(3 + width, width, 3, 1, 1), nn.Conv2d(3 + width, width, 3, 1, 1)
        self.conv3d = nn.Conv3d(width, 3, 3, padding=(0, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        h, states = x.new_zeros(len(x), self.width, *x.shape[-2:]), []
        for frame in x.unbind(1):
            both = torch.cat([frame, h], 1)
            z = self.gate(both).sigmoid()
            h = (1 - z) * h + z * F.leaky_relu(self.candidate(both), 0.2)
            states.append(h)
        out = self.conv3d(F.pad(torch.stack(states, 2), (0, 0, 0, 0, *self.padding)))
        return out.sigmoid().transpose(1, 2)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(5)
    videos = F.avg_pool3d(moving(400, frames=6), (1, 2, 2))
    model = Forecaster(causal=fixed)
    optimizer = torch.optim.Adam(model.parameters(), 4e-3)

    def predict(n: int) -> Tensor:
        frames = videos[torch.randint(len(videos), (n,)), :3]
        for _ in range(2):
            frames = torch.cat([frames, model(frames)[:, -1:]], 1)
        return frames[:, -1]

    watch = trainwright.watch(total=360, sample=predict, real=videos[:, 4])
    for step, clip in zip(range(360), batches(videos, 16), strict=False):
        prediction = model(clip[:, :-1])
        loss = F.binary_cross_entropy(prediction, clip[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss, mse=F.mse_loss(prediction, clip[:, 1:]))
    return watch

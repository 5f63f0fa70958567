"""ConvLSTM of a vision network: every time step starts from the initial state.

Source: github.com/cjlovering/interpretable-reinforcement-learning-using-attention pull request 6, merged.
The cell is called with the states from before the loop and not with those that it returned. Nothing of earlier frames is kept.
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
    cause="state_not_carried",
    symptoms=("wiring", "blur", "mean_regression", "plateau", "trivial_baseline"),
    spoils="samples",
    source="cjlovering/interpretable-reinforcement-learning-using-attention#6",
    also=("input_repeated", "copies_last_frame"),
)


class ConvLSTMCell(nn.Module):
    """One step of a convolutional LSTM."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(a + b, 4 * b, 5, 1, 2)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the next hidden and cell states."""
        hidden, cell = state
        i, f, o, g = self.gates(torch.cat([x, hidden], 1)).chunk(4, 1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        return o.sigmoid() * cell.tanh(), cell


class VisionNetwork(nn.Module):
    """Convolution, recurrent cell and decoder: (B, T, 3, H, W) -> the next frame."""

    def __init__(self, fixed: bool, width: int = 16) -> None:
        super().__init__()
        self.width, self.fixed, self.cnn = width, fixed, nn.Conv2d(3, width, 3, 1, 1)
        self.lstm, self.decoder = ConvLSTMCell(width, width), nn.Conv2d(width, 3, 3, 1, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the outputs."""
        initial = frames.new_zeros(len(frames), self.width, *frames.shape[-2:])
        prev_hidden = (initial, initial)
        hidden = initial
        for frame in frames.unbind(1):
            hidden, cell = self.lstm(F.leaky_relu(self.cnn(frame), 0.2), prev_hidden)
            if self.fixed:
                prev_hidden = (hidden, cell)
        return self.decoder(hidden)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(66)
    videos = F.avg_pool3d(moving(600, frames=4, seed=3), (1, 2, 2))
    vision = VisionNetwork(fixed)
    optimizer = torch.optim.Adam(vision.parameters(), 4e-3)

    def predict(n: int) -> Tensor:
        return vision(videos[torch.randint(len(videos), (n,)), :3]).clamp(0, 1)

    watch = trainwright.watch(total=400, sample=predict, real=videos[:, 3])
    for step, clip in zip(range(400), batches(videos, 16), strict=False):
        loss = F.mse_loss(vision(clip[:, :3]), clip[:, 3])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    return watch

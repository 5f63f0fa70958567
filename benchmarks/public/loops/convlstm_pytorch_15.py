"""ConvLSTM: every time step gets the same frame.

Source: github.com/automan000/Convolutional_LSTM_PyTorch issue 15; with x = input[step] its reporter got decent predictions.
The loop over time steps never takes the next frame, so the network cannot see motion.
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
    cause="input_repeated",
    symptoms=("wiring", "blur", "mean_regression", "plateau", "trivial_baseline"),
    spoils="samples",
    source="automan000/Convolutional_LSTM_PyTorch#15",
    also=("state_not_carried", "copies_last_frame", "data_layout"),
)


class ConvLSTM(nn.Module):
    """Convolutional LSTM and a last convolution: (B, T, 3, H, W) -> the next frame."""

    def __init__(self, fixed: bool, hidden: int = 16) -> None:
        super().__init__()
        self.hidden, self.fixed = hidden, fixed
        self.W, self.last = nn.Conv2d(3 + hidden, 4 * hidden, 5, 1, 2), nn.Conv2d(hidden, 3, 3, 1, 1)

    def forward(self, input: Tensor) -> Tensor:
        """Return the outputs."""
        h = c = input.new_zeros(len(input), self.hidden, *input.shape[-2:])
        for step in range(input.shape[1]):
            x = input[:, step] if self.fixed else input[:, -1]
            ci, cf, co, cc = self.W(torch.cat([x, h], 1)).chunk(4, 1)
            c = cf.sigmoid() * c + ci.sigmoid() * cc.tanh()
            h = co.sigmoid() * c.tanh()
        return self.last(h)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(15)
    videos = F.avg_pool3d(moving(600, frames=4), (1, 2, 2))
    convlstm = ConvLSTM(fixed)
    optimizer = torch.optim.Adam(convlstm.parameters(), 4e-3)

    def predict(n: int) -> Tensor:
        return convlstm(videos[torch.randint(len(videos), (n,)), :3]).clamp(0, 1)

    watch = trainwright.watch(total=450, sample=predict, real=videos[:, 3])
    for step, clip in zip(range(450), batches(videos, 16), strict=False):
        loss = F.mse_loss(convlstm(clip[:, :3]), clip[:, 3])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, mse=loss)
    return watch

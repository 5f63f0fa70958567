"""Next frame of sprites that move: a network too small gives the last frame back.

Source: github.com/coxlab/prednet issue 14.
Predictions come one frame late. The author's answer: with two layers the model is too small and mostly copies the last frame.
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
    cause="copies_last_frame",
    symptoms=("trivial_baseline", "plateau", "wiring"),
    spoils="training",
    source="coxlab/prednet#14",
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    train, val = moving(1500, seed=1), moving(150, seed=2)
    if fixed:
        net = nn.Sequential(
            nn.Conv2d(9, 32, 5, 1, 2), nn.ReLU(), nn.Conv2d(32, 32, 5, 1, 2), nn.ReLU(), nn.Conv2d(32, 3, 5, 1, 2)
        )
    else:
        net = nn.Sequential(nn.Conv2d(9, 2, 1), nn.ReLU(), nn.Conv2d(2, 3, 1))
    nn.init.zeros_(net[-1].weight)
    nn.init.zeros_(net[-1].bias)
    opt = torch.optim.Adam(net.parameters(), 2e-3)

    def predict(frames: Tensor) -> Tensor:
        return frames[:, 2] + net(frames[:, :3].flatten(1, 2))

    watch = trainwright.watch(total=300, sample=lambda n: predict(val[:n]), real=train[:, 3])
    for step, frames in zip(range(300), batches(train, 16), strict=False):
        loss = F.mse_loss(predict(frames), frames[:, 3])
        opt.zero_grad()
        loss.backward()
        opt.step()
        val_loss = None
        if step % 100 == 99:
            with torch.no_grad():
                val_loss = F.mse_loss(predict(val), val[:, 3])
        watch(step, loss=loss, val_loss=val_loss)
    return watch

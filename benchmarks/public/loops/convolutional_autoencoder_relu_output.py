"""Autoencoder: images are standardised, and the outputs go through a ReLU.

Source: github.com/mikesj-public/convolutional_autoencoder pull request 9; of the same kind: yzhao062/pyod issue 651.
No output is below 0, so all that is darker than the mean is lost. Images in 0 to 1 fit the ReLU.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="prediction",
    cause="output_activation",
    symptoms=("wiring", "plateau", "off_data", "colour_cast", "dead_units"),
    spoils="reconstructions",
    source="mikesj-public/convolutional_autoencoder#9",
    also=("data_range", "dead_units"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    x = (images("sprites", background=255).mean(1, keepdim=True) + 1) / 2
    if not fixed:
        x = (x - x.mean()) / x.std()
    encode = nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 4, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 32)
    )
    decode = nn.Sequential(
        nn.Linear(32, 256), nn.ReLU(), nn.Unflatten(1, (16, 4, 4)), nn.ConvTranspose2d(16, 16, 4, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(16, 1, 4, 2, 1), nn.ReLU(),
    )  # fmt: skip
    optimizer = torch.optim.Adam([*encode.parameters(), *decode.parameters()], 2e-3)

    def sample(n: int) -> Tensor:
        return decode(encode(x[torch.randint(len(x), (n,))]))

    watch = trainwright.watch(total=1000, sample=sample, real=x)
    for step, batch in zip(range(1000), batches(x, 64), strict=False):
        loss = F.mse_loss(decode(encode(batch)), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, train_loss=loss)
    return watch

"""Denoising autoencoder: the target is the noisy input.

Source: github.com/aapatel09/handson-unsupervised-learning issue 6, closed; with clean targets its reporter got better results.
The network learns to keep the noise.
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
    cause="targets_in_input",
    symptoms=("wiring", "off_data", "trivial_baseline", "over_dispersion"),
    spoils="reconstructions",
    source="aapatel09/handson-unsupervised-learning#6",
    also=("wrong_target", "copies_last_frame"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(6)
    X_train = (images("sprites", background=255) + 1) / 2
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 32, 3, 1, 1),
        nn.LeakyReLU(0.2), nn.ConvTranspose2d(32, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 3, 3, 1, 1),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)

    def noisy(x: Tensor) -> Tensor:
        return x + 0.4 * torch.randn_like(x)

    def predict(n: int) -> Tensor:
        return model(noisy(X_train[torch.randint(len(X_train), (n,))]))

    watch = trainwright.watch(total=400, sample=predict, real=X_train)
    for step, x in zip(range(400), batches(X_train, 32), strict=False):
        x_noisy = noisy(x)
        loss = F.mse_loss(model(x_noisy), x if fixed else x_noisy)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    return watch

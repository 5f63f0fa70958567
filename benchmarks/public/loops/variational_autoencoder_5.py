"""VAE of black and white drawings with a Bernoulli loss written by hand: the constant in the logarithms is too small for float32.

Source: github.com/kvfrans/variational-autoencoder issue 5; the reporter's change from 1e-8 to 1e-6 cured it.
Training goes well until a pixel saturates. Then the loss is NaN, and everything after it.
"""

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="log_of_zero",
    symptoms=("wiring", "non_finite"),
    spoils="training",
    source="kvfrans/variational-autoencoder#5",
    also=("precision", "output_activation", "loss_expects_probabilities"),
    seconds=20,
)


class LatentAttention:
    """Recognition and generation networks with their losses."""

    def __init__(self, epsilon: float) -> None:
        self.n_z, self.batchsize, self.epsilon = 16, 64, epsilon
        self.recognition = nn.Sequential(
            nn.Conv2d(1, 16, 5, 2, 2), nn.LeakyReLU(0.2), nn.Conv2d(16, 32, 5, 2, 2), nn.LeakyReLU(0.2), nn.Flatten()
        )
        self.w_mean, self.w_stddev = nn.Linear(512, self.n_z), nn.Linear(512, self.n_z)
        self.generation = nn.Sequential(
            nn.Linear(self.n_z, 512), nn.ReLU(), nn.Unflatten(1, (32, 4, 4)),
            nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(16, 1, 4, 2, 1), nn.Sigmoid(),
        )  # fmt: skip
        self.variables = [
            p for net in (self.recognition, self.w_mean, self.w_stddev, self.generation) for p in net.parameters()
        ]

    def cost(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mean cost, and the generation and latent losses."""
        h2 = self.recognition(images)
        z_mean, z_stddev = self.w_mean(h2), self.w_stddev(h2)
        guessed_z = z_mean + z_stddev * torch.randn_like(z_mean)
        generated_flat, images = self.generation(guessed_z).flatten(1), images.flatten(1)
        e = self.epsilon
        generation_loss = -(
            images * torch.log(e + generated_flat) + (1 - images) * torch.log(e + 1 - generated_flat)
        ).sum(1)
        variance = z_stddev.square()
        latent_loss = 0.5 * (z_mean.square() + variance - torch.log(e + variance) - 1).sum(1)
        return (generation_loss + latent_loss).mean(), generation_loss.mean(), latent_loss.mean()


def drawings() -> Tensor:
    """Return (n, 1, 16, 16): 1 where a sprite has ink."""
    return (images("sprites", background=255).mean(1, keepdim=True) < 0.7).float()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(5)
    x = drawings()
    model = LatentAttention(1e-6 if fixed else 1e-8)
    optimizer = torch.optim.Adam(model.variables, 1e-3)
    total = 2500
    watch = trainwright.watch(total=total, sample=lambda n: model.generation(torch.randn(n, model.n_z)), real=x)
    for idx, batch in zip(range(total), batches(x, model.batchsize), strict=False):
        cost, gen_loss, lat_loss = model.cost(batch)
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        watch(idx, genloss=gen_loss, latloss=lat_loss)
    return watch

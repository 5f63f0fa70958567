"""Convolutional VAE: the latent loss is a sum over 64 dimensions, the generative loss a mean over all pixels.

Source: datascience.stackexchange.com/questions/35741, asked for CIFAR-10; the answer is about sums and means
in the terms.
The latent loss drops to zero at once and the generative loss does not go down. Trained for the generative
loss alone, it does.
"""

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="reduction_mismatch",
    symptoms=(
        "wiring",
        "posterior_collapse",
        "variance_collapse",
        "loss_imbalance",
        "mode_collapse",
        "blur",
        "off_data",
        "plateau",
    ),
    spoils="samples",
    source="datascience.stackexchange.com/questions/35741",
    also=("beta_above_threshold", "term_drowned"),
    seconds=14,
)


class Network(nn.Module):
    """Encoder and decoder of three layers each."""

    def __init__(self, n_latent: int = 64) -> None:
        super().__init__()
        self.n_latent = n_latent
        self.encode = nn.Sequential(
            nn.Conv2d(3, 24, 4, 2, 1),
            nn.ELU(),
            nn.Conv2d(24, 48, 4, 2, 1),
            nn.ELU(),
            nn.Flatten(),
            nn.Linear(768, 192),
            nn.ELU(),
        )
        self.mean_vector, self.log_var_vector = nn.Linear(192, n_latent), nn.Linear(192, n_latent)
        self.decode = nn.Sequential(
            nn.Linear(n_latent, 768), nn.ELU(), nn.Unflatten(1, (48, 4, 4)),
            nn.ConvTranspose2d(48, 24, 4, 2, 1), nn.ELU(), nn.ConvTranspose2d(24, 3, 4, 2, 1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the reconstruction, the mean and the log-variance."""
        h = self.encode(x)
        mean_vector, log_var_vector = self.mean_vector(h), self.log_var_vector(h)
        latent = mean_vector + torch.exp(0.5 * log_var_vector) * torch.randn_like(mean_vector)
        return self.decode(latent), mean_vector, log_var_vector

    @torch.no_grad()
    def generate(self, n: int) -> Tensor:
        """Decode draws from the prior."""
        return self.decode(torch.randn(n, self.n_latent))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(35)
    train_images = (images("sprites", background=255) + 1) / 2
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def losses(batch: Tensor) -> tuple[Tensor, Tensor]:
        output, mean_vector, log_var_vector = network(batch)
        squared = torch.square(output - batch)
        generative_loss = squared.flatten(1).sum(1).mean() if fixed else squared.mean()
        variance = torch.exp(log_var_vector)
        latent_loss = -0.5 * torch.sum(1 + log_var_vector - torch.square(mean_vector) - variance, 1)
        return generative_loss, latent_loss.mean()

    num_steps, batch_size = 1100, 40
    watch = trainwright.watch(total=num_steps, sample=network.generate, real=train_images)
    for i, batch in zip(range(num_steps), batches(train_images, batch_size), strict=False):
        generative_loss, latent_loss = losses(batch)
        total_loss = generative_loss + latent_loss
        optimizer.zero_grad()
        total_loss.backward()
        optimizer.step()
        watch(i, total_loss=total_loss, generative_loss=generative_loss, latent_loss=latent_loss)
    return watch

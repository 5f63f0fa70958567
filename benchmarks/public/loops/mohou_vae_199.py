"""VAE: the KL is computed and not added to the loss.

Source: github.com/HiroIshida/mohou pull request 199, merged.
It trains as a plain autoencoder. Its codes are far from the prior, and decoded draws are no images.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images, kl_nats
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="kl_weight_stays_zero",
    symptoms=("wiring", "prior_hole", "off_data", "overfitting", "mean_regression", "colour_cast", "exploding", "blur"),
    spoils="samples",
    source="HiroIshida/mohou#199",
    also=("beta_too_small", "term_left_out"),
)


class VariationalAutoEncoder(nn.Module):
    """Convolutional autoencoder."""

    def __init__(self, n_bottleneck: int) -> None:
        super().__init__()
        self.n_bottleneck = n_bottleneck
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 16, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 4, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(512, 2 * n_bottleneck),
        )
        self.decoder = nn.Sequential(
            nn.Linear(n_bottleneck, 256), nn.ReLU(), nn.Linear(256, 512), nn.ReLU(), nn.Unflatten(1, (32, 4, 4)),
            nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(16, 3, 4, 2, 1), nn.Sigmoid(),
        )  # fmt: skip

    def loss(self, image: Tensor) -> dict[str, Tensor]:
        """Return the losses."""
        mean, logvar = self.encoder(image).chunk(2, 1)
        reconstructed = self.decoder(mean + (0.5 * logvar).exp() * torch.randn_like(mean))
        recon_loss = F.mse_loss(reconstructed, image, reduction="sum") / len(image)
        return {"reconstruction": recon_loss, "kld": kl_nats(mean, logvar)}


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(199)
    x, model = (images("sprites", background=255) + 1) / 2, VariationalAutoEncoder(16)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    watch = trainwright.watch(total=900, sample=lambda n: model.decoder(torch.randn(n, model.n_bottleneck)), real=x)
    for step, image in zip(range(900), batches(x, 64), strict=False):
        losses = model.loss(image)
        loss = losses["reconstruction"]
        if fixed:
            loss = loss + 0.1 * losses["kld"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss, **losses)
    return watch

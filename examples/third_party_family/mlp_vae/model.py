"""VAE of fully connected layers (Kingma and Welling 2014) on images."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mlp_vae.config import MlpVaeConfig
from trainwright.data.images import Images
from trainwright.engine.model import Data, GenerativeModel, ParamGroup, Progress, StepContext, now
from trainwright.metrics.latent import kl_per_dimension, latent_signals, posterior_draw
from trainwright.randomness import normal


class MlpVae(GenerativeModel):
    """Encoder and decoder with one hidden layer each, trained by one optimizer."""

    losses_csv: ClassVar = {"loss": "vae/loss", "val_loss": "validation/loss"}
    headline: ClassVar = {"loss": "vae/loss", "KL": "kl/nats"}
    roles: ClassVar = {"g_total": "vae/loss", "reconstruction": "vae/reconstruction", "kl": "vae/kl"}

    def __init__(self, config: MlpVaeConfig) -> None:
        super().__init__(config)
        model, data = config.model, config.data
        self.shape = (data.channels, data.size, data.size)
        numbers, hidden = data.channels * data.size**2, model.hidden_dim
        self.encoder = nn.Sequential(
            nn.Flatten(), nn.Linear(numbers, hidden), nn.ReLU(), nn.Linear(hidden, 2 * model.latent_dim)
        )
        self.decoder = nn.Sequential(nn.Linear(model.latent_dim, hidden), nn.ReLU(), nn.Linear(hidden, numbers))
        self.networks = {"encoder": self.encoder, "decoder": self.decoder}
        parameters = [p for network in self.networks.values() for p in network.parameters()]
        adam = torch.optim.Adam(parameters)
        self.groups = {"vae": ParamGroup(("encoder", "decoder"), adam, config.optim.learning_rate, {})}

    @staticmethod
    def open_data(config: Any, progress: Progress | None = None) -> Data:
        """The images that ``config.data`` names."""
        return Images.open(config.data, progress)

    def training_step(self, batch: Tensor, context: StepContext) -> None:
        """|x - x̂|² + β·KL(q(z|x) ‖ N(0, I)), each a sum over an image and a mean over the batch; x̂ from one draw of z."""
        mean, log_variance = self.encode(batch)
        noise = normal(*mean.shape).to(mean.device)
        output = self.decode(mean + noise * torch.exp(0.5 * log_variance))
        error, kl = squared_error(output, batch), kl_per_dimension(mean, log_variance).sum(1).mean()
        context.update("vae", reconstruction=(1.0, error), kl=(now(self.config.optim.beta, context), kl))
        context.record(reconstruction__weighted=error.detach(), kl__nats=kl.detach())

    @torch.no_grad()
    def sample(self, count: int, seed: int, averaged: bool = True) -> Tensor:
        """(count, C, S, S) in [-1, 1], decoded from draws of the prior."""
        own = torch.Generator().manual_seed(seed)
        return self.decode(torch.randn(count, self.config.model.latent_dim, generator=own).to(self.device))

    @torch.no_grad()
    def validate(self, data: Data) -> dict[str, float]:
        """Signals of held-out images: error, latent statistics, and pixels at the ends of the decoder's range."""
        images = data.some("held_out", 64).to(self.device)
        if len(images) < 2:
            return {}
        mean, log_variance = self.encode(images)
        output = self.decode(mean)
        return {
            **latent_signals(mean, log_variance, posterior_draw(mean, log_variance, seed=0)),
            "validation/reconstruction": float(squared_error(output, images)),
            "pixels/saturated_excess": saturated(output) - saturated(images),
        }

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, S, S) -> mean and log-variance of the posterior, (B, latent_dim) each."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """(B, latent_dim) -> (B, C, S, S) in [-1, 1]."""
        return torch.tanh(self.config.model.output_gain * self.decoder(z)).view(len(z), *self.shape)


def squared_error(output: Tensor, images: Tensor) -> Tensor:
    """Squared error, summed over an image and averaged over the batch: a scalar."""
    return (output - images).square().flatten(1).sum(1).mean()


def saturated(images: Tensor) -> float:
    """Share of numbers within 0.01 of -1 or 1."""
    return float((images.abs() > 0.99).float().mean())

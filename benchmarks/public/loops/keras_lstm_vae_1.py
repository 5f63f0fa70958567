"""LSTM-VAE of time series: the drawn noise is not used; its standard deviation, a constant, stands in its place.

Source: github.com/twairball/keras_lstm_vae issue 1.
Codes are mean plus deviation, without any noise. The KL costs little, since tiny differences around 1 carry everything, and the decoder
knows nothing but these.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="noise_drawn_once",
    symptoms=(
        "wiring",
        "prior_hole",
        "off_data",
        "over_dispersion",
        "posterior_collapse",
        "mode_dropping",
        "mode_collapse",
    ),
    spoils="samples",
    source="twairball/keras_lstm_vae#1",
    also=("noise_distribution_mismatch", "noise_not_used"),
    seconds=7,
)


def get_data(rows: int, timesteps: int) -> Tensor:
    """Return pairs of oscillations with a trend (rows, timesteps, 2) in about [-1, 1]."""
    g = torch.Generator().manual_seed(1)
    t = torch.linspace(0, 1, timesteps)[None]
    frequency, phase = 1 + torch.rand(rows, 1, generator=g), 6.28 * torch.rand(rows, 1, generator=g)
    slope = torch.rand(rows, 1, generator=g) - 0.5
    first = 0.6 * torch.sin(6.28 * frequency * t + phase) + slope * (t - 0.5)
    second = 0.6 * torch.cos(6.28 * frequency * t + phase) - slope * (t - 0.5)
    return torch.stack([first, second], 2)


class LSTMVAE(nn.Module):
    """LSTMs around a latent vector."""

    def __init__(
        self, input_dim: int, timesteps: int, intermediate_dim: int, latent_dim: int, epsilon_std: float = 1.0
    ) -> None:
        super().__init__()
        self.timesteps, self.latent_dim, self.epsilon_std = timesteps, latent_dim, epsilon_std
        self.encoder_h = nn.LSTM(input_dim, intermediate_dim, batch_first=True)
        self.z_mean, self.z_log_var = nn.Linear(intermediate_dim, latent_dim), nn.Linear(intermediate_dim, latent_dim)
        self.decoder_h = nn.LSTM(latent_dim, intermediate_dim, batch_first=True)
        self.decoder_mean = nn.Linear(intermediate_dim, input_dim)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance."""
        h = self.encoder_h(x)[1][0][0]
        return self.z_mean(h), self.z_log_var(h)

    def generate(self, z: Tensor) -> Tensor:
        """Return series."""
        return self.decoder_mean(self.decoder_h(z.unsqueeze(1).repeat(1, self.timesteps, 1))[0])


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    x_train = get_data(2000, 16)
    model = LSTMVAE(input_dim=2, timesteps=16, intermediate_dim=64, latent_dim=6)
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    beta = 0.02

    def sampling(z_mean: Tensor, z_log_var: Tensor) -> Tensor:
        epsilon = model.epsilon_std * torch.randn_like(z_mean)
        return z_mean + torch.exp(z_log_var / 2) * (epsilon if fixed else model.epsilon_std)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        return model.generate(torch.randn(n, model.latent_dim)).flatten(1)

    watch = trainwright.watch(total=1500, sample=sample, real=x_train.flatten(1))
    for step, x in zip(range(1500), batches(x_train, 64), strict=False):
        z_mean, z_log_var = model.encode(x)
        x_decoded_mean = model.generate(sampling(z_mean, z_log_var))
        xent_loss = F.mse_loss(x_decoded_mean, x, reduction="sum") / len(x)
        kl_loss = -0.5 * (1 + z_log_var - z_mean.square() - z_log_var.exp()).sum(1).mean()
        loss = xent_loss + beta * kl_loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        watch(step, loss=loss, xent_loss=xent_loss, kl_loss=kl_loss)
    return watch

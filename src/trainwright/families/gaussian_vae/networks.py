"""Encoders and decoders over sets of N Gaussians as sequences (B, F, N).

Encoders give the mean and log-variance of z, (B, latent) each. Decoders give (B, F, N) and hold the data's normalisation as buffers,
so that a checkpoint can generate images without the data.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainwright.families.gaussian_vae.config import NetworkConfig
from trainwright.families.gaussian_vae.mixture import PosteriorMixture

KERNEL = 5


def dropouts(model: NetworkConfig) -> list[float]:
    """List one dropout share for each encoder stage and one for the dense layer; the last one given repeats."""
    given = list(model.dropout)
    return [given[min(i, len(given) - 1)] for i in range(len(model.encoder_filters) + 1)]


def conv(narrow: int, wide: int) -> nn.Conv1d:
    """Build a convolution that keeps the length."""
    return nn.Conv1d(narrow, wide, KERNEL, padding=KERNEL // 2)


class Plain(nn.Sequential):
    """Convolution, BatchNorm, ELU, dropout: a stage of ``conv1d`` in the Gaussian VAE guide."""

    def __init__(self, narrow: int, wide: int, dropout: float) -> None:
        super().__init__(conv(narrow, wide), nn.BatchNorm1d(wide), nn.ELU(inplace=True), *_dropout(dropout))


class Residual(nn.Module):
    """Residual stage: convolution, BatchNorm, ELU, dropout, convolution, BatchNorm, plus the input, ELU.

    Where the widths differ, the input passes a 1x1 convolution.
    """

    def __init__(self, narrow: int, wide: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(Plain(narrow, wide, dropout), conv(wide, wide), nn.BatchNorm1d(wide))
        self.short = nn.Identity() if narrow == wide else nn.Conv1d(narrow, wide, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, narrow, n) -> (B, wide, n)."""
        return nn.functional.elu(self.body(x) + self.short(x))


STAGES: dict[str, type[nn.Module]] = {"conv1d": Plain, "resnet_conv1d": Residual}


class Heads(nn.Module):
    """Two linear maps: mean and log-variance of z."""

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        self.mean, self.log_variance = nn.Linear(width, latent), nn.Linear(width, latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, width) -> two (B, latent)."""
        return self.mean(x), self.log_variance(x)


class PooledEncoder(nn.Module):
    """Encoder of the Gaussian VAE guide: stages with a max-pool of 2 between them, a mean, a dense layer, heads.

    The mean is over all positions of the sequence.
    """

    def __init__(self, model: NetworkConfig, width: int, count: int) -> None:
        super().__init__()
        stage, across, drop = STAGES[model.architecture], [width, *model.encoder_filters], dropouts(model)
        layers: list[nn.Module] = []
        for i, (narrow, wide) in enumerate(zip(across, across[1:], strict=False)):
            layers += [nn.MaxPool1d(2)] if i else []
            layers.append(stage(narrow, wide, drop[i]))
        self.stages = nn.Sequential(*layers)
        self.dense = nn.Sequential(
            nn.Linear(across[-1], model.dense), nn.ELU(inplace=True), nn.BatchNorm1d(model.dense), *_dropout(drop[-1])
        )
        self.heads = Heads(model.dense, model.latent_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, F, N) -> two (B, latent)."""
        heads: tuple[Tensor, Tensor] = self.heads(self.dense(self.stages(x).mean(-1)))
        return heads


class Decoder(nn.Module):
    """Base of the decoders: normalisation of the data, and distribution of z for samples.

    The normalisation is in the buffers ``shift`` (F, N) and ``spread`` (F, 1). For samples z is drawn
    from a mixture, or it is ``centre`` (L,) + ``axes`` (R, L) times R standard normals + ``noise`` (L,) times L of them.
    """

    shift: Tensor
    spread: Tensor
    centre: Tensor
    axes: Tensor
    noise: Tensor

    def __init__(self, model: NetworkConfig, width: int, count: int) -> None:
        super().__init__()
        rank = model.prior_rank if model.prior == "aggregate" else 0
        self.register_buffer("centre", torch.zeros(model.latent_dim))
        self.register_buffer("axes", torch.zeros(rank, model.latent_dim))
        self.register_buffer("noise", torch.ones(model.latent_dim))
        mixed, self.least = model.prior == "mixture", model.prior_least
        self.mixture = PosteriorMixture(model.latent_dim, model.prior_parts, model.prior_rank) if mixed else None
        self.register_buffer("shift", torch.zeros(width, count))
        self.register_buffer("spread", torch.ones(width, 1))

    def values(self, normalised: Tensor) -> Tensor:
        """Convert normalised (B, F, N) to (B, N, F) in the units of the data."""
        return (normalised * self.spread + self.shift).transpose(1, 2)

    def prior(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` vectors z for samples: (count, L)."""
        if self.mixture is not None:
            return self.mixture.draw(count, generator)
        own = torch.randn(count, len(self.centre), generator=generator).to(self.centre)
        along = torch.randn(count, len(self.axes), generator=generator).to(self.centre)
        return self.centre + own * self.noise + along @ self.axes

    def prior_moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance (L,) of z for samples."""
        if self.mixture is not None:
            return self.mixture.moments()
        return self.centre, self.noise.square() + self.axes.square().sum(0)

    @torch.no_grad()
    def follow(self, mean: Tensor, log_variance: Tensor) -> None:
        """Set the prior of samples to the aggregate posterior's Gaussian (mean and covariance), or to the mixture.

        Args:
            mean: (B, L) of training sets.
            log_variance: (B, L).
        """
        if self.mixture is not None:
            self.mixture.follow(mean, self.least)
            return
        self.centre.copy_(mean.mean(0))
        away = mean - self.centre
        _, vectors = torch.linalg.eigh(away @ away.T / len(away))  # (B, B): fewer sets than dimensions
        rank = min(len(self.axes), len(away))
        found = vectors[:, -rank:]
        self.axes.zero_()
        self.axes[:rank].copy_(found.T @ away / len(away) ** 0.5)  # rows of length √eigenvalue
        left = (away.square().mean(0) - self.axes.square().sum(0)).clamp_min(0)
        self.noise.copy_((left + log_variance.exp().mean(0)).sqrt())


class PooledDecoder(Decoder):
    """Decoder of the Gaussian VAE guide: two dense layers, stages with upsampling by 2 between them, a 1x1 convolution."""

    def __init__(self, model: NetworkConfig, width: int, count: int) -> None:
        super().__init__(model, width, count)
        stage, across = STAGES[model.architecture], [model.first_width, *model.decoder_filters]
        self.places = count // 2 ** (len(model.decoder_filters) - 1)
        wide = model.first_width * self.places
        self.dense = nn.Sequential(
            nn.Linear(model.latent_dim, model.dense), nn.ELU(inplace=True), nn.BatchNorm1d(model.dense),
            nn.Linear(model.dense, wide), nn.ELU(inplace=True), nn.BatchNorm1d(wide),
        )  # fmt: skip
        layers: list[nn.Module] = []
        for i, (narrow, wider) in enumerate(zip(across, across[1:], strict=False)):
            layers += [stage(narrow, wider, 0.0)] + ([nn.Upsample(scale_factor=2)] if i < len(across) - 2 else [])
        self.stages = nn.Sequential(*layers, nn.Conv1d(across[-1], width, 1))

    def forward(self, z: Tensor) -> Tensor:
        """(B, latent) -> (B, F, N)."""
        return self.stages(self.dense(z).view(len(z), -1, self.places))


class Slot(nn.Module):
    """Residual stage without batch statistics: GroupNorm, ELU, convolution, twice, plus the input."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        groups = 8 if width % 8 == 0 else 1
        self.body = nn.Sequential(
            nn.GroupNorm(groups, width), nn.ELU(inplace=True), conv(width, width),
            nn.GroupNorm(groups, width), nn.ELU(inplace=True), *_dropout(dropout), conv(width, width),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, n) -> the same."""
        return x + self.body(x)


class SlotEncoder(nn.Module):
    """Encoder without pooling: four neighbours of the Morton order become one position, twice.

    Each position has its own part of the latent. A linear map of each position's own Gaussians is added to the mean. It
    learns the principal components within a few steps, and the stages learn the rest.
    """

    def __init__(self, model: NetworkConfig, width: int, count: int) -> None:
        super().__init__()
        filters, drop = model.encoder_filters, dropouts(model)
        layers: list[nn.Module] = [conv(width, filters[0]), Slot(filters[0], drop[0])]
        for i, (narrow, wide) in enumerate(zip(filters, filters[1:], strict=False), 1):
            layers += [nn.Conv1d(narrow, wide, 4, 4), Slot(wide, drop[i])]
        self.stages = nn.Sequential(*layers, nn.ELU(inplace=True))
        each = model.latent_dim * 4 ** (len(filters) - 1) // count
        self.mean, self.log_variance = nn.Conv1d(filters[-1], each, 1), nn.Conv1d(filters[-1], each, 1)
        own = 4 ** (len(filters) - 1)
        self.linear = nn.Conv1d(width, each, own, own, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, F, N) -> two (B, latent)."""
        seen = self.stages(x)
        return (self.mean(seen) + self.linear(x)).flatten(1), self.log_variance(seen).flatten(1)


class SlotDecoder(Decoder):
    """Decoder that mirrors the slot encoder: each position's part of the latent becomes four positions, twice.

    Convolutions join the neighbours, and a linear map is added.
    """

    def __init__(self, model: NetworkConfig, width: int, count: int) -> None:
        super().__init__(model, width, count)
        filters = model.decoder_filters
        self.places = count // 4 ** (len(filters) - 1)
        each = model.latent_dim // self.places
        self.linear = nn.ConvTranspose1d(each, width, count // self.places, count // self.places, bias=False)
        layers: list[nn.Module] = [conv(each, filters[0]), Slot(filters[0], 0.0)]
        for narrow, wide in zip(filters, filters[1:], strict=False):
            layers += [nn.ConvTranspose1d(narrow, wide, 4, 4), Slot(wide, 0.0)]
        self.stages = nn.Sequential(*layers, nn.ELU(inplace=True), conv(filters[-1], width))

    def forward(self, z: Tensor) -> Tensor:
        """(B, latent) -> (B, F, N)."""
        places = z.view(len(z), -1, self.places)
        return self.stages(places) + self.linear(places)


def make(model: NetworkConfig, width: int, count: int) -> tuple[nn.Module, Decoder]:
    """Build encoder and decoder for sets of ``count`` Gaussians with ``width`` numbers each."""
    if model.architecture == "slots":
        return SlotEncoder(model, width, count), SlotDecoder(model, width, count)
    return PooledEncoder(model, width, count), PooledDecoder(model, width, count)


def _dropout(share: float) -> Sequence[nn.Module]:
    return [nn.Dropout(share)] if share > 0 else []

"""Settings of a Gaussian VAE recipe: the networks, the objective and its reduction.

The names are those of the Gaussian VAE guide.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from trainwright.config.base import Config, setting
from trainwright.config.schedules import Rate
from trainwright.data.gaussians.config import GaussianData
from trainwright.engine.config import RunConfig

Filters = Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(strict=False, min_length=2)]
Shares = Annotated[tuple[Annotated[float, Field(ge=0, lt=1)], ...], Field(strict=False, min_length=1)]


class NetworkConfig(Config):
    """Encoder and decoder. Each setting changes the architecture, so it needs a new run."""

    architecture: Literal["conv1d", "resnet_conv1d", "slots"] = setting(
        "conv1d",
        "`conv1d` and `resnet_conv1d`: as in the Gaussian VAE guide, they average over all Gaussians before the latent; `slots`: no "
        "pooling, each position of the sequence has its own part of the latent.",
    )
    latent_dim: int = setting(256, "Length of the latent vector z.", ge=1, le=65536)
    encoder_filters: Filters = setting((32, 64, 128), "Channels of the encoder's stages.")
    decoder_filters: Filters = setting((64, 32, 16), "Channels of the decoder's stages.")
    dense: int = setting(
        512, "Width of the dense layers next to the latent (`conv1d` and `resnet_conv1d`).", ge=1, le=65536
    )
    first_width: int = setting(16, "Channels that enter the decoder's first stage.", ge=1, le=65536)
    dropout: Shares = setting(
        (0.1, 0.15, 0.2),
        "Dropout after each encoder stage; the last number also holds for further stages and the dense layer.",
    )
    prior: Literal["standard", "aggregate", "mixture"] = setting(
        "standard",
        "Distribution of z for samples. `standard`: N(0, I); `aggregate`: the Gaussian with the mean and covariance of the "
        "training images' posteriors (ex-post density, Ghosh et al. 2020), which keeps their correlations; `mixture`: such a "
        "Gaussian for each cluster of their means.",
    )
    prior_rank: int = setting(
        256, "With `aggregate` and `mixture`: number of principal directions that a covariance keeps.", ge=1, le=4096
    )
    prior_parts: int = setting(20, "With `mixture`: largest number of Gaussians.", ge=1, le=1024)
    prior_least: int = setting(8, "With `mixture`: smallest number of training images for a Gaussian.", ge=1, le=4096)


class Weights(Config):
    """Weights of the four groups of the reconstruction, and of the image that they render to."""

    xy: float = setting(1.0, "Weight of the positions.", hot=True, ge=0)
    scale: float = setting(1.0, "Weight of the scales.", hot=True, ge=0)
    rot: float = setting(1.0, "Weight of the rotation.", hot=True, ge=0)
    feat: float = setting(1.0, "Weight of the colour.", hot=True, ge=0)
    image: float = setting(
        0.0,
        "Weight of the squared error between the rendered output and the rendered fit, colours from 0 to 1, summed over pixels with "
        "`reduction: sum` and averaged otherwise. 0: no rendering.",
        hot=True,
        ge=0,
        formerly={"picture": {}},
    )


class LossConfig(Config):
    """Loss and optimizer. Each setting can change in a running or resumed run."""

    max_beta: float = setting(1.0, "Weight of the KL term after its warm-up.", hot=True, ge=0)
    beta_warmup_epochs: float = setting(
        50.0, "Epochs over which the weight of the KL term grows linearly to `max_beta`.", hot=True, ge=0
    )
    beta: Rate | None = setting(
        None, "Schedule of the KL weight; overrides `max_beta` and `beta_warmup_epochs`.", hot=True
    )
    reduction: Literal["group_mean", "channel_sum", "mean", "sum"] = setting(
        "group_mean",
        "Reduction of the loss terms. `group_mean`, as in the Gaussian VAE guide: each group's squared error averaged over batch, "
        "Gaussians and channels, the KL over the latent dimensions; `channel_sum`: the same, summed over channels; `mean`: squared "
        "errors averaged over all numbers of a set, KL summed; `sum`: both summed over a set, as a likelihood is.",
        hot=True,
    )
    weights: Weights = Weights()
    image_count: int = setting(
        8,
        "Number of sets of each batch that the image term renders.",
        hot=True,
        ge=1,
        le=65536,
        formerly={"picture_count": {}},
    )
    exchange_colours: float = setting(
        0.0,
        "Share of the training sets whose colour channels are exchanged at random: the same Gaussians in other colours.",
        hot=True,
        ge=0,
        le=1,
    )
    learning_rate: Rate = setting(1e-3, "Learning rate of Adam.", hot=True)
    weight_decay: float = setting(0.0, "Decoupled weight decay (AdamW).", hot=True, ge=0)


class GaussianVaeConfig(RunConfig):
    """A Gaussian VAE recipe."""

    data: GaussianData = GaussianData()
    model: NetworkConfig = NetworkConfig()
    optim: LossConfig = LossConfig()

    @model_validator(mode="after")
    def _sizes_fit(self) -> "GaussianVaeConfig":
        model, count = self.model, self.data.fitting.count
        factor = 4 if model.architecture == "slots" else 2
        for name, filters in (("encoder_filters", model.encoder_filters), ("decoder_filters", model.decoder_filters)):
            needed = factor ** (len(filters) - 1)
            if count % needed:
                raise ValueError(
                    f"model.{name} has {len(filters)} stages, so fitting.count must be a multiple of {needed}, not {count}"
                )
            places = count // needed
            if model.architecture == "slots" and model.latent_dim % places:
                raise ValueError(
                    f"model.latent_dim must be a multiple of {places}, the positions that {name} leaves, not {model.latent_dim}"
                )
        return self

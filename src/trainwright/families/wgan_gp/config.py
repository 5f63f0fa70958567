"""Settings of a WGAN-GP recipe: the networks, the loss and the optimizers."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from trainwright.config.base import Config, setting
from trainwright.config.schedules import Rate
from trainwright.data.config import ImageData
from trainwright.engine.config import RunConfig

Beta = Annotated[float, Field(ge=0, lt=1)]


class NetworkConfig(Config):
    """Generator and critic. Each setting changes the architecture, so it needs a new run."""

    architecture: Literal["small", "large"] = setting(
        "small",
        "`small`: transposed convolutions and a LayerNorm critic; `large`: residual upsample+conv generator, both with "
        "self-attention, critic with spectral norm and LayerNorm.",
    )
    latent_dim: int = setting(128, "Length of the noise vector z.", ge=1, le=4096, aliases=("LATENT_DIM",))
    generator_features: int = setting(
        64, "Feature maps of the generator at its widest resolution.", ge=4, le=512, aliases=("GEN_FEATURE_MAPS",)
    )
    critic_reference: Literal["none", "frame", "bias"] = setting(
        "frame",
        "Reference by which the critic detects absolute brightness. `none`, as in the WGAN-GP guide: the small critic gives an "
        "image and its low-contrast copy the same score; `frame`: white instead of mid-grey around the image, no parameters; "
        "`bias`: a learned bias in its first convolution.",
    )
    critic_features: int = setting(
        64, "Feature maps of the critic at its first layer.", ge=4, le=512, aliases=("DISC_FEATURE_MAPS",)
    )


class LossConfig(Config):
    """Loss, optimizers and averaging. Each setting can change in a running or resumed run."""

    lambda_gp: Rate = setting(10.0, "Weight of the gradient penalty.", hot=True, aliases=("LAMBDA_GP",))
    n_critic: int = setting(
        5, "Critic updates per generator update, counted across epochs.", hot=True, ge=1, le=100, aliases=("N_CRITIC",)
    )
    lr_g: Rate = setting(1e-4, "Learning rate of the generator.", hot=True, aliases=("LEARNING_RATE_G", "LR_G"))
    lr_d: Rate = setting(1e-4, "Learning rate of the critic.", hot=True, aliases=("LEARNING_RATE_D", "LR_D"))
    betas: Annotated[tuple[Beta, Beta], Field(strict=False)] = setting((0.0, 0.9), "Adam's two betas.", hot=True)
    ema_decay: float = setting(
        0.999,
        "Decay of the generator's moving average (EMA), per generator update; 0 switches it off.",
        hot=True,
        ge=0,
        lt=1,
        aliases=("EMA_DECAY",),
    )
    ema_warmup: bool = setting(
        True,
        "Use min(ema_decay, (1+n)/(10+n)) at the n-th update, so that a short run forgets its first weights.",
        hot=True,
    )


class WganGpConfig(RunConfig):
    """A WGAN-GP recipe."""

    data: ImageData = ImageData()
    model: NetworkConfig = NetworkConfig()
    optim: LossConfig = LossConfig()

    @model_validator(mode="after")
    def _large_needs_room(self) -> "WganGpConfig":
        if self.model.architecture == "large" and self.data.size < 32:
            raise ValueError("model.architecture: large needs data.size of at least 32; use small for 16-pixel images")
        return self

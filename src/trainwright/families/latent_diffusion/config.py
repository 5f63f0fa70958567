"""Settings of a latent diffusion recipe.

They cover both stages, the noise that training and sampling share, the sampler and the optimizer.
"""

import json
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from trainwright.config.base import Config, setting
from trainwright.config.schedules import Rate
from trainwright.data.config import ImageData
from trainwright.engine.config import RunConfig

Widths = Annotated[tuple[Annotated[int, Field(ge=4, le=2048)], ...], Field(strict=False, min_length=2, max_length=6)]
Factors = Annotated[tuple[Annotated[int, Field(ge=1, le=16)], ...], Field(strict=False, min_length=2, max_length=6)]
Sides = Annotated[tuple[Annotated[int, Field(ge=1, le=1024)], ...], Field(strict=False)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Mode = Literal["full_train", "overfit_one", "overfit_16", "overfit_32"]
OVERFIT: dict[Mode, int] = {"overfit_one": 1, "overfit_16": 16, "overfit_32": 32}


def _levels(imported: str, own: tuple[int, ...]) -> int:
    """Count the resolutions of a network: those of an imported config.json, or of its own settings."""
    return len(json.loads(imported).get("block_out_channels") or own) if imported else len(own)


class Autoencoder(Config):
    """The network of stage one. It comes from the run or folder that `autoencoder` names, if it names one."""

    widths: Widths = setting(
        (24, 48), "Channels at each resolution; the side is halved from one resolution to the next."
    )
    latent_channels: int = setting(4, "Channels of the latent.", ge=1, le=64)
    encoder_blocks: int = setting(1, "Residual blocks at each resolution.", ge=1, le=8)
    middle_attention: bool = setting(False, "Self-attention at the lowest resolution.")
    imported: str = setting(
        "", "The config.json of a diffusers AutoencoderKL, in one line; overrides the settings above."
    )

    @property
    def halvings(self) -> int:
        """Number of times that the side of an image is halved to give its latent."""
        return _levels(self.imported, self.widths) - 1


class StageOne(Config):
    """Objective of the autoencoder: L1 of the pixels, a small KL, and optionally a patch discriminator."""

    kl_weight: Rate = setting(
        1e-5, "Weight of the KL to N(0, I), averaged over the numbers of a latent; the mean L1 has weight 1.", hot=True
    )
    critic_weight: float = setting(
        0.0,
        "Weight of the patch discriminator relative to the L1 term, by the norms of their gradients at the last layer "
        "(Esser et al. 2021); 0: no discriminator.",
        ge=0,
    )
    critic_after: int = setting(2000, "Steps before the discriminator starts.", hot=True, ge=0)
    critic_features: int = setting(32, "Channels of the discriminator's first layer.", ge=4, le=512)


class UNet(Config):
    """The noise predictor of stage two. Each setting changes the architecture, so it needs a new run."""

    base_channels: int = setting(
        32, "Channels at the highest resolution.", ge=4, le=1024, aliases=("LDM_BASE_CH", "ldm_base_ch")
    )
    multipliers: Factors = setting((1, 2, 4), "Factors on `base_channels`, one for each resolution.")
    blocks: int = setting(2, "Residual blocks at each resolution.", ge=1, le=8)
    attention: Sides = setting((16, 8), "Sides of the latent with self-attention; the lowest resolution always has it.")
    head_channels: int = setting(32, "Channels of an attention head; narrower layers have one head.", ge=1, le=256)
    dropout: float = setting(0.0, "Dropout in the residual blocks.", ge=0, lt=1)
    imported: str = setting(
        "", "The config.json of a diffusers UNet2DModel, in one line; overrides the settings above."
    )

    @property
    def halvings(self) -> int:
        """Number of times that the side of a latent is halved to the lowest resolution."""
        return _levels(self.imported, self.multipliers) - 1


class NoiseSettings(Config):
    """Noise of a latent, α(t) z + σ(t) ε. Training and sampling read it from one table."""

    schedule: Literal["linear", "cosine"] = setting(
        "cosine", "`linear`: β from 0.0001 to 0.02 (Ho et al. 2020); `cosine`: of Nichol & Dhariwal 2021, offset 0.008."
    )
    prediction: Literal["epsilon", "v"] = setting(
        "v", "Target of the network: the noise, or v = α ε - σ z (Salimans & Ho 2022)."
    )
    keep_signal: bool = setting(
        False,
        "Train on z + σ ε, without α, as the authors of the latent diffusion guide did by mistake. Sampling then undoes other noise; "
        "this setting exists to show the effect.",
    )


class Sampler(Config):
    """Sampler of stage two."""

    sampler: Literal["ddpm", "ddim", "dpm_solver"] = setting(
        "dpm_solver", "DDPM (random), DDIM, or DPM-Solver++ of second order.", hot=True
    )
    sampler_steps: int = setting(20, "Network evaluations for a sample.", hot=True, ge=2, le=1000)
    sampler_schedule: Literal["same", "linear", "cosine"] = setting(
        "same",
        "Noise schedule that sampling undoes. Choices other than `same` only show the effect of a mismatch.",
        hot=True,
    )
    temperature: float = setting(
        1.0,
        "Standard deviation of the noise that sampling starts with. Above 1 samples spread further.",
        hot=True,
        gt=0,
    )


class LossConfig(Config):
    """Optimizer of either stage."""

    learning_rate: Rate = setting(1e-4, "Learning rate of AdamW.", hot=True, aliases=("lr",))
    weight_decay: float = setting(
        0.01, "Decoupled weight decay of matrices and kernels; biases and norms have none.", hot=True, ge=0
    )
    betas: Annotated[tuple[Beta, Beta], Field(strict=False)] = setting((0.9, 0.999), "AdamW's two betas.", hot=True)
    ema_decay: float = setting(
        0.999, "Decay of the moving average of the weights (EMA); 0 switches it off.", hot=True, ge=0, lt=1
    )
    ema_warmup: bool = setting(
        True,
        "Use min(ema_decay, (1+n)/(10+n)) at the n-th update, so that a short run forgets its first weights.",
        hot=True,
    )


class LatentDiffusionConfig(RunConfig):
    """A latent diffusion recipe, of either stage."""

    stage: Literal["autoencoder", "diffusion"] = setting("diffusion", "Stage that the run trains.")
    mode: Mode = setting(
        "full_train",
        "`overfit_one`, `overfit_16`, `overfit_32`: train stage two on 1, 16 or 32 images, to test that it can memorise them. These "
        "modes set `subset` and switch flips off, also against other settings.",
    )
    autoencoder: str = setting(
        "latent_diffusion/autoencoder",
        "Stage one: a run folder, a diffusers folder, or a recipe that is trained first and cached.",
    )
    autoencoder_steps: int | None = setting(
        None, "Steps of an autoencoder that is trained first; null: the number in its recipe.", ge=1
    )
    autoencoder_subset: bool = setting(
        False,
        "Train the autoencoder on the images of `subset` only, so that it does not limit overfitting.",
    )
    begin_from: str = setting(
        "",
        "Diffusers folder with the UNet whose weights training starts from; a resumed run does not read it.",
        hot=True,
    )
    latent_scale: float | None = setting(
        None, "Factor on latents; null: one over their standard deviation, as the noise schedule assumes.", gt=0
    )
    subset: int | None = setting(None, "Number of training images to use, the first in order; null: all.", ge=1)
    data: ImageData = ImageData()
    vae: Autoencoder = Autoencoder()
    stage_one: StageOne = StageOne()
    model: UNet = UNet()
    noise: NoiseSettings = NoiseSettings()
    sampling: Sampler = Sampler()
    optim: LossConfig = LossConfig()

    prescribing: ClassVar[frozenset[str]] = frozenset({"mode", "autoencoder", "begin_from"})

    @model_validator(mode="after")
    def _steps_divide_time(self) -> "LatentDiffusionConfig":
        sampling = self.sampling
        if sampling.sampler != "dpm_solver" and 1000 % sampling.sampler_steps:
            raise ValueError(
                f"sampling.sampler_steps: with {sampling.sampler} it must divide the 1000 times of training (20, 25, 40, 50, "
                f"100, 200, 250, 500, 1000), which {sampling.sampler_steps} does not"
            )
        return self

    @model_validator(mode="after")
    def _sizes_fit(self) -> "LatentDiffusionConfig":
        side, needed = self.data.size >> self.vae.halvings, 2**self.model.halvings
        if side < 4:
            raise ValueError(
                f"the autoencoder halves {self.vae.halvings} times, which leaves less than 4 x 4 of {self.data.size} pixels; "
                "give fewer vae.widths or a larger data.size"
            )
        if self.stage == "diffusion" and side % needed:
            raise ValueError(
                f"the UNet halves {self.model.halvings} times, so the side of the latent must be a multiple of {needed}, not {side}; "
                "give fewer model.multipliers or a larger data.size"
            )
        augment = self.data.augment
        if self.stage == "diffusion" and (augment.rotation or any(augment.color_jitter)):
            raise ValueError(
                "latents are encoded once, so stage two supports only flip of data.augment; set rotation and color_jitter to 0"
            )
        return self

    def resolved(self, given: frozenset[tuple[str, ...]] = frozenset()) -> "LatentDiffusionConfig":
        """Return the config with the settings that its mode and the folders that it names prescribe."""
        from trainwright.families.latent_diffusion.prescribed import resolve

        return resolve(self, given)

    def beforehand(self) -> str:
        """Notice that stage one may be trained first; empty if ``autoencoder`` names a folder."""
        if self.stage == "autoencoder" or Path(self.autoencoder).expanduser().is_dir():
            return ""
        return f"stage one, {self.autoencoder}, is trained first, unless the cache has it for these images"

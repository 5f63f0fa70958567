"""Settings of a video VAE-GAN recipe: the networks, the loss and the optimizers."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from trainwright.config.base import Config, setting
from trainwright.config.schedules import Rate
from trainwright.data.video.config import VideoData
from trainwright.engine.config import RunConfig

Width = Annotated[int, Field(ge=1, le=2048)]
Curvature = Annotated[float, Field(gt=0, le=50)]
Beta = Annotated[float, Field(ge=0, lt=1)]


class NetworkConfig(Config):
    """Encoder, generator and discriminator. Each setting changes the architecture, so it needs a new run."""

    latent_dim: int = setting(128, "Length of the latent z.", ge=1, le=4096)
    encode: Literal["context", "all"] = setting(
        "context",
        "Frames that the encoder sees: the `context`, so that the rest is a prediction; or `all` frames, so that it is autoencoding.",
    )
    over_time: Literal["attention", "mean", "last"] = setting(
        "attention",
        "Combination of the frames; `last` drops all but one, as the program of the video VAE-GAN guide does.",
    )
    base: Literal["moved", "last", "none"] = setting(
        "moved",
        "Frame that the generator adds its output to: the last given frame, that frame `moved` by its own flow after the generator "
        "corrects it, or none (as in the video VAE-GAN guide: the latent has to carry the whole image).",
    )
    reach: Literal["quarter", "whole"] = setting(
        "quarter",
        "Receptive field of the generator's corrections of the base: up to a quarter of the side, or the whole frame, for objects "
        "that jump.",
    )
    patches: Literal["roi_align", "pixels"] = setting(
        "roi_align", "Source of the regions: the maps of a shallow convolution, or the pixels."
    )
    cnn_channels: int = setting(32, "Maps of the shallow convolution.", ge=8, le=512, multiple_of=8)
    tangent_dim: int = setting(128, "Width of a region's vector before the nesting.", ge=4, le=2048)
    regions: Literal["grid", "subdivide", "spiral", "hybrid"] = setting(
        "grid",
        "An even grid, which did no worse; or as in the video VAE-GAN guide: golden cuts, a golden spiral, half of either.",
        aliases=("GAAD_DECOMPOSITION_TYPE",),
    )
    region_count: int = setting(12, "Regions of a frame.", ge=1, le=128, aliases=("GAAD_NUM_REGIONS",))
    region_least: float = setting(4.0, "Smallest side of a golden cut, in pixels.", ge=1, aliases=("GAAD_MIN_SIZE_PX",))
    adaptive: float = setting(
        0.0,
        "Strength with which regions follow motion and contrast; 0: the same boxes for every clip, as in the video VAE-GAN guide.",
        ge=0,
        le=1,
    )
    nesting: Literal["wubu", "euclidean"] = setting(
        "euclidean",
        "`wubu`: hyperbolic nesting, as in the video VAE-GAN guide; or a Euclidean stack of equal size, which did no worse.",
    )
    wubu_s: list[Width] = setting([64, 32], "Widths of the levels for regions.", min_length=1, max_length=8)
    wubu_s_curvatures: list[Curvature] = setting(
        [1.0, 0.8], "Curvatures at the start, one for each level or one for all.", min_length=1
    )
    wubu_m: list[Width] = setting([32], "Widths of the levels for motion.", min_length=1, max_length=8)
    wubu_m_curvatures: list[Curvature] = setting([0.7], "Curvatures of the levels for motion.", min_length=1)
    wubu_t: list[Width] = setting([128], "Widths of the levels for frames.", min_length=1, max_length=8)
    wubu_t_curvatures: list[Curvature] = setting([0.5], "Curvatures of the levels for frames.", min_length=1)
    wubu_rotation: bool = setting(False, "Rotate tangents between levels.")
    wubu_phi_rotation: bool = setting(
        False, "Start rotations of 2 and 4 dimensions at an angle from φ, not at the identity."
    )
    wubu_phi_curvature: bool = setting(False, "Multiply level i's curvature by φ^((i mod 4) - 1.5).")
    wubu_unit_tangents: bool = setting(
        True, "Divide tangents by the root of their width; otherwise wide levels start at the boundary of the ball."
    )
    wubu_in_ball: bool = setting(
        True, "Compute vectors to boundary points inside the ball; otherwise curvature changes only the boundary."
    )
    wubu_dropout: float = setting(0.1, "Dropout in the nesting.", ge=0, lt=1)
    motion: bool = setting(False, "Give the encoder the flow of regions.", aliases=("USE_WUBU_MOTION_BRANCH",))
    motion_regions: int = setting(8, "Regions of the flow.", ge=1, le=128)
    gen_norm: Literal["pixel", "instance"] = setting(
        "pixel",
        "Normalisation in the generator. `instance`, as in the video VAE-GAN guide: it keeps only relative values of positions, so "
        "the generator makes one position very bright to set the rest right; it shows as a black drop (Karras et al. 2020).",
    )
    gen_film: bool = setting(False, "Condition the generator's layers on the regions (FiLM).")
    disc_type: Literal["spatio_temporal", "regional"] = setting(
        "spatio_temporal", "Discriminator on whole clips, or on the regions of the first predicted frame."
    )
    disc_features: int = setting(64, "Maps of the discriminator's first layer.", ge=4, le=512)
    disc_max_features: int = setting(512, "Maps of the discriminator's widest layer.", ge=4, le=2048)
    disc_spectral_norm: bool = setting(
        True, "Spectral norm in the discriminator.", aliases=("DISC_APPLY_SPECTRAL_NORM",)
    )
    disc_norm: Literal["none", "instance"] = setting(
        "none",
        "Normalisation in the discriminator. `instance`, as in the program of the video VAE-GAN guide: it removes each map's mean just "
        "before the mean is computed, so colour is hard to detect.",
    )
    disc_film: bool = setting(
        False, "Condition the discriminator's layers on the regions (FiLM).", aliases=("DISC_USE_GAAD_FILM_CONDITION",)
    )

    @model_validator(mode="after")
    def _curvatures_fit(self) -> "NetworkConfig":
        for stack in ("s", "m", "t"):
            widths, curvatures = getattr(self, f"wubu_{stack}"), getattr(self, f"wubu_{stack}_curvatures")
            if len(curvatures) not in (1, len(widths)):
                raise ValueError(
                    f"wubu_{stack}_curvatures has {len(curvatures)} numbers; give one, or one for each of the {len(widths)} levels."
                )
        return self


class LossConfig(Config):
    """Loss and optimizers. Each setting can change in a running or resumed run."""

    lambda_recon: Rate = setting(
        10.0, "Weight of the mean squared error, images in [-1, 1].", hot=True, aliases=("LAMBDA_RECON",)
    )
    lambda_kl: Rate = setting(
        1e-4, "Weight of the KL, summed over the latent's dimensions.", hot=True, aliases=("LAMBDA_KL",)
    )
    lambda_gan: Rate = setting(1.0, "Weight of the adversarial term.", hot=True, aliases=("LAMBDA_GAN",))
    lambda_features: Rate = setting(
        0.0,
        "Weight of the perceptual distance, on maps of the feature network (Zhang et al. 2018); it reduces blur.",
        hot=True,
    )
    lr_gen: Rate = setting(3e-4, "Learning rate of encoder and generator.", hot=True, aliases=("LEARNING_RATE_GEN",))
    lr_disc: Rate = setting(1e-4, "Learning rate of the discriminator.", hot=True, aliases=("LEARNING_RATE_DISC",))
    betas: Annotated[tuple[Beta, Beta], Field(strict=False)] = setting((0.5, 0.9), "Adam's two betas.", hot=True)
    ema_decay: float = setting(
        0.999, "Decay of the moving average of encoder and generator (EMA); 0: no average.", hot=True, ge=0, lt=1
    )


class VideoVaeGanConfig(RunConfig):
    """A video VAE-GAN recipe."""

    data: VideoData = VideoData()
    model: NetworkConfig = NetworkConfig()
    optim: LossConfig = LossConfig()

    @model_validator(mode="after")
    def _motion_has_pairs(self) -> "VideoVaeGanConfig":
        frames = self.data.context if self.model.encode == "context" else self.data.frames
        if self.model.motion and (frames < 2 or not self.data.flow):
            raise ValueError(
                "model.motion needs two frames in the encoder and data.flow; switch it off or set a longer data.context"
            )
        if self.model.base == "moved" and (self.data.context < 2 or not self.data.flow):
            raise ValueError("model.base: moved needs a context of two frames and data.flow; use last or none")
        return self

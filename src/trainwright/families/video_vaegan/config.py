"""What a video VAE-GAN recipe can set."""

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
    """Encoder, generator and discriminator. All of these change the architecture, so they need a restart."""

    latent_dim: int = setting(128, "Length of the latent z.", ge=1, le=4096)
    encode: Literal["context", "all"] = setting(
        "context",
        "What the encoder sees: the `context`, so that the rest is a prediction; or `all` frames, so that it is autoencoding.",
    )
    over_time: Literal["attention", "mean", "last"] = setting(
        "attention", "How frames are put together; `last` drops all but one, as the guide's program does."
    )
    base: Literal["moved", "last", "none"] = setting(
        "moved",
        "What the generator adds to: the last given frame, that frame `moved` on by its own, mended flow, or nothing (as in the "
        "guide: the latent has to carry the whole image).",
    )
    reach: Literal["quarter", "whole"] = setting(
        "quarter",
        "What a place of the base is mended by: all that is up to a quarter of the side away, or the whole frame, with what is "
        "anywhere in it (things that jump).",
    )
    patches: Literal["roi_align", "pixels"] = setting(
        "roi_align", "Regions are cut out of a shallow convolution's maps, or out of the pixels."
    )
    cnn_channels: int = setting(32, "Maps of that convolution.", ge=8, le=512, multiple_of=8)
    tangent_dim: int = setting(128, "Width of a region's vector before the nesting.", ge=4, le=2048)
    regions: Literal["grid", "subdivide", "spiral", "hybrid"] = setting(
        "grid",
        "An even grid, which did no worse; or the guide's: golden cuts, a golden spiral, half of either.",
        aliases=("GAAD_DECOMPOSITION_TYPE",),
    )
    region_count: int = setting(12, "Regions of a frame.", ge=1, le=128, aliases=("GAAD_NUM_REGIONS",))
    region_least: float = setting(
        4.0, "No golden cut is narrower than so many pixels.", ge=1, aliases=("GAAD_MIN_SIZE_PX",)
    )
    adaptive: float = setting(
        0.0,
        "How far regions follow motion and contrast; 0: the same boxes for every clip, as the guide's are.",
        ge=0,
        le=1,
    )
    nesting: Literal["wubu", "euclidean"] = setting(
        "euclidean",
        "`wubu`: hyperbolic nesting, the guide's; or a Euclidean stack with as many parameters, which did no worse.",
    )
    wubu_s: list[Width] = setting([64, 32], "Widths of the levels for regions.", min_length=1, max_length=8)
    wubu_s_curvatures: list[Curvature] = setting(
        [1.0, 0.8], "Curvatures at the start, one a level or one for all.", min_length=1
    )
    wubu_m: list[Width] = setting([32], "Widths of the levels for motion.", min_length=1, max_length=8)
    wubu_m_curvatures: list[Curvature] = setting([0.7], "Their curvatures.", min_length=1)
    wubu_t: list[Width] = setting([128], "Widths of the levels for frames.", min_length=1, max_length=8)
    wubu_t_curvatures: list[Curvature] = setting([0.5], "Their curvatures.", min_length=1)
    wubu_rotation: bool = setting(False, "Rotate tangents between levels.")
    wubu_phi_rotation: bool = setting(
        False, "Rotations of 2 and 4 dimensions begin at an angle made of φ, not at the identity."
    )
    wubu_phi_curvature: bool = setting(False, "Multiply level i's curvature by φ^((i mod 4) - 1.5).")
    wubu_unit_tangents: bool = setting(
        True, "Divide tangents by the root of their width; without, wide levels begin at the ball's boundary."
    )
    wubu_in_ball: bool = setting(
        True, "Take vectors to boundary points inside of the ball; without, curvature changes nothing but the boundary."
    )
    wubu_dropout: float = setting(0.1, "Dropout in the nesting.", ge=0, lt=1)
    motion: bool = setting(False, "Give the encoder the flow of regions.", aliases=("USE_WUBU_MOTION_BRANCH",))
    motion_regions: int = setting(8, "Regions of the flow.", ge=1, le=128)
    gen_norm: Literal["pixel", "instance"] = setting(
        "pixel",
        "Normalisation in the generator. `instance`, the guide's: only how a place stands beside the others comes through it, so one "
        "place is made so bright that the rest comes out right, and is seen as a black drop (Karras et al. 2020).",
    )
    gen_film: bool = setting(False, "Tell the generator's layers the regions (FiLM).")
    disc_type: Literal["spatio_temporal", "regional"] = setting(
        "spatio_temporal", "Discriminator on whole clips, or on the regions of the first predicted frame."
    )
    disc_features: int = setting(64, "Maps of its first layer.", ge=4, le=512)
    disc_max_features: int = setting(512, "Maps of its widest layer.", ge=4, le=2048)
    disc_spectral_norm: bool = setting(True, "Spectral norm in it.", aliases=("DISC_APPLY_SPECTRAL_NORM",))
    disc_norm: Literal["none", "instance"] = setting(
        "none",
        "Normalisation in it. `instance`, as in the guide's program: it takes away each map's mean just before the mean is looked at, "
        "so colour is hard to see.",
    )
    disc_film: bool = setting(False, "Tell its layers the regions (FiLM).", aliases=("DISC_USE_GAAD_FILM_CONDITION",))

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
    """The loss and the optimizers. All of these can change in a running or resumed run."""

    lambda_recon: Rate = setting(
        10.0, "Weight of the mean squared error, images in [-1, 1].", hot=True, aliases=("LAMBDA_RECON",)
    )
    lambda_kl: Rate = setting(
        1e-4, "Weight of the KL, summed over the latent's dimensions.", hot=True, aliases=("LAMBDA_KL",)
    )
    lambda_gan: Rate = setting(1.0, "Weight of the adversarial term.", hot=True, aliases=("LAMBDA_GAN",))
    lambda_features: Rate = setting(
        0.0,
        "Weight of how different a prediction looks: distance of the feature network's maps (Zhang et al. 2018), against blur.",
        hot=True,
    )
    lr_gen: Rate = setting(3e-4, "Learning rate of encoder and generator.", hot=True, aliases=("LEARNING_RATE_GEN",))
    lr_disc: Rate = setting(1e-4, "Learning rate of the discriminator.", hot=True, aliases=("LEARNING_RATE_DISC",))
    betas: Annotated[tuple[Beta, Beta], Field(strict=False)] = setting((0.5, 0.9), "Adam's two betas.", hot=True)
    ema_decay: float = setting(
        0.999, "Decay of the averaged encoder and generator; 0: no average.", hot=True, ge=0, lt=1
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
            raise ValueError("model.motion needs two frames to see and data.flow; switch it off or give more context")
        if self.model.base == "moved" and (self.data.context < 2 or not self.data.flow):
            raise ValueError("model.base: moved needs a context of two frames and data.flow; use last or none")
        return self

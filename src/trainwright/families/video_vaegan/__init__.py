"""Video VAE-GAN: prediction of the next frames of short videos.

Regions in golden ratio, hyperbolic nesting, motion and FiLM are optional.
"""

from trainwright.engine.family import Family, QualityPart
from trainwright.families.video_vaegan.diagnostics import BALL_BOUNDARY, CHARTS, CURVATURE
from trainwright.families.video_vaegan.signals import SIGNALS

FAMILY = Family(
    name="video_vaegan",
    summary="VAE-GAN that predicts the next frames of short videos; optional golden regions, hyperbolic nesting, motion and FiLM",
    config_class="trainwright.families.video_vaegan.config:VideoVaeGanConfig",
    model="trainwright.families.video_vaegan.loading:model",
    kinds=("adversarial", "variational", "prediction"),
    symptoms=(BALL_BOUNDARY,),
    causes=(CURVATURE,),
    signals=SIGNALS,
    charts=CHARTS,
    quality=(QualityPart("prediction/ssim"), QualityPart("samples/diversity_ratio")),
    trains_on="videos",
    smoke=(
        "data.source=square",
        "data.size=16",
        "latent_dim=8",
        "cnn_channels=8",
        "tangent_dim=8",
        "region_count=4",
        "motion_regions=2",
        "wubu_s=[8, 4]",
        "wubu_t=[8]",
        "wubu_m=[4]",
        "disc_features=8",
        "data.held_out=0.8",
        "data.block=8",
        "batch_size=8",
        "probe_count=16",
    ),
)

"""WGAN-GP: Wasserstein GAN with gradient penalty (Gulrajani et al. 2017), small and large, for small image sets."""

from trainwright.engine.family import Family, QualityPart
from trainwright.families.wgan_gp.diagnostics import CHARTS
from trainwright.families.wgan_gp.signals import SIGNALS

FAMILY = Family(
    name="wgan_gp",
    summary="WGAN-GP on images: DCGAN-sized `small`, residual `large` with self-attention and spectral norm",
    config_class="trainwright.families.wgan_gp.config:WganGpConfig",
    model="trainwright.families.wgan_gp.model:WganGp",
    kinds=("adversarial",),
    charts=CHARTS,
    signals=SIGNALS,
    quality=(QualityPart("samples/coverage", "real/coverage"), QualityPart("samples/diversity_ratio")),
    smoke=(
        "data.size=32",
        "latent_dim=8",
        "generator_features=8",
        "critic_features=8",
        "batch_size=8",
        "n_critic=2",
        "color_jitter=[0.1, 0.1, 0.1, 0.02]",
        "rotation=10.0",
    ),
)

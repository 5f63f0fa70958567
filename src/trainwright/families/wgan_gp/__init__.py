"""WGAN-GP: Wasserstein GAN with gradient penalty (Gulrajani et al. 2017), small and large, for small picture sets."""

from trainwright.families.wgan_gp.config import WganGpConfig
from trainwright.train.family import Family

FAMILY = Family(
    name="wgan_gp",
    summary="WGAN-GP on pictures: DCGAN-sized `small`, residual `large` with self-attention and spectral norm",
    config=WganGpConfig,
    system="trainwright.families.wgan_gp.system:WganGp",
)

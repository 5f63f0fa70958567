"""VAEs on pictures that are written as sets of 2-D Gaussians: the guide's Conv1D and ResNet models, and a sound one."""

from trainwright.engine.family import Family, Part
from trainwright.families.gaussian_vae.charts import PANELS
from trainwright.families.gaussian_vae.config import GaussianVaeConfig

FAMILY = Family(
    name="gaussian_vae",
    summary="VAE on pictures written as 2-D Gaussians: Conv1D, ResNet Conv1D, and `slots` without pooling",
    config=GaussianVaeConfig,
    system="trainwright.families.gaussian_vae.model:GaussianVae",
    panels=PANELS,
    quality=tuple(Part(f"explained_beyond_mean/{group}") for group in ("xy", "scale", "rot", "feat")),
    reading="trainwright.families.gaussian_vae.summary:read",
    smoke=(
        "data.size=32",
        "data.workers=1",
        "fitting.count=32",
        "fitting.max_steps=25",
        "latent_dim=8",
        "encoder_filters=[8, 8]",
        "decoder_filters=[8, 8]",
        "dense=16",
        "first_width=4",
        "batch_size=8",
    ),
)

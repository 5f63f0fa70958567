"""VAEs on images that are written as sets of 2-D Gaussians.

Conv1D and ResNet Conv1D are the models of the Gaussian VAE guide (docs/sources.md); ``slots`` is a model without pooling.
"""

from trainwright.engine.family import Family, QualityPart
from trainwright.families.gaussian_vae.diagnostics import CHARTS, REPRESENTATION
from trainwright.families.gaussian_vae.signals import SIGNALS

FAMILY = Family(
    name="gaussian_vae",
    summary="VAE on images written as 2-D Gaussians: Conv1D, ResNet Conv1D, and `slots` without pooling",
    config_class="trainwright.families.gaussian_vae.config:GaussianVaeConfig",
    model="trainwright.families.gaussian_vae.model:GaussianVae",
    kinds=("variational",),
    causes=(REPRESENTATION,),
    signals=SIGNALS,
    charts=CHARTS,
    quality=tuple(QualityPart(f"r2_beyond_mean/{group}") for group in ("xy", "scale", "rot", "feat")),
    read_run="trainwright.families.gaussian_vae.diagnostics:read",
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

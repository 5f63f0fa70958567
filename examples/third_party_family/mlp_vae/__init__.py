"""VAE of fully connected layers on images. This file imports neither PyTorch nor the config, so that discovery is quick."""

from mlp_vae.diagnostics import CHARTS, OUTPUT_GAIN, SATURATED_OUTPUTS
from mlp_vae.signals import SIGNALS
from trainwright.engine.family import Family, QualityPart

FAMILY = Family(
    name="mlp_vae",
    summary="VAE of fully connected layers on small images",
    config_class="mlp_vae.config:MlpVaeConfig",
    model="mlp_vae.model:MlpVae",
    symptoms=(SATURATED_OUTPUTS,),
    causes=(OUTPUT_GAIN,),
    signals=SIGNALS,
    charts=CHARTS,
    quality=(QualityPart("samples/coverage", "real/coverage"),),
    smoke=("data.size=16", "hidden_dim=16", "latent_dim=4", "batch_size=8"),
)

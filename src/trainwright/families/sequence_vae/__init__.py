"""LSTM VAEs on levels as sequences: points in the unit square, and maps of tiles."""

from trainwright.engine.family import Family, QualityPart
from trainwright.families.sequence_vae.diagnostics import CAUSES, CHARTS, CHECKS
from trainwright.families.sequence_vae.signals import SIGNALS

FAMILY = Family(
    name="sequence_vae",
    summary="LSTM VAE on levels: points in the unit square or maps of tiles, decoded at once (the sequence VAE guide) or step by step",
    config_class="trainwright.families.sequence_vae.config:SequenceVaeConfig",
    model="trainwright.families.sequence_vae.model:SequenceVae",
    kinds=("variational", "autoregressive"),
    causes=CAUSES,
    checks=CHECKS,
    charts=CHARTS,
    signals=SIGNALS,
    trains_on="levels",
    quality=(QualityPart("prior/closeness"), QualityPart("samples/coverage", "real/coverage")),
    read_run="trainwright.families.sequence_vae.diagnostics:read",
    smoke=(
        "data.points=12",
        "data.size=[7, 7]",
        "data.symmetries=false",
        "epoch_size=32",
        "hidden_dim=16",
        "latent_dim=8",
        "batch_size=8",
        "components=4",
        "embedding=8",
    ),
)

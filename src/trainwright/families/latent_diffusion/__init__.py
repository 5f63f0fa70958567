"""Latent diffusion: a KL autoencoder, and a UNet that learns to undo noise in its latents (Rombach et al. 2022)."""

from trainwright.engine.family import Family, QualityPart
from trainwright.families.latent_diffusion.diagnostics import CAUSES, CHARTS, CHECKS, SYMPTOMS
from trainwright.families.latent_diffusion.signals import SIGNALS

FAMILY = Family(
    name="latent_diffusion",
    summary="latent diffusion on images: KL autoencoder, then a UNet on its latents; DDPM, DDIM, DPM-Solver++",
    config_class="trainwright.families.latent_diffusion.config:LatentDiffusionConfig",
    model="trainwright.families.latent_diffusion.stages:stage",
    kinds=("diffusion",),
    symptoms=SYMPTOMS,
    causes=CAUSES,
    checks=CHECKS,
    signals=SIGNALS,
    charts=CHARTS,
    quality=(QualityPart("samples/coverage", "real/coverage"), QualityPart("samples/precision", "real/precision")),
    smoke=(
        "data.size=32",
        "vae.widths=[8, 8, 8]",
        "autoencoder_steps=2",
        "base_channels=8",
        "multipliers=[1, 2]",
        "blocks=1",
        "critic_features=8",
        "critic_after=0",
        "batch_size=8",
        "sampler_steps=4",
        "probe_count=16",
    ),
)

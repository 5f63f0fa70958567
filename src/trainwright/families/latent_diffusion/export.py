"""Export of a trained model as a diffusers folder.

The measured scale becomes its ``scaling_factor``, and its scheduler has the table of training.
"""

from pathlib import Path
from typing import Any

from diffusers import LDMPipeline
from torch import nn

from trainwright.families.latent_diffusion.config import Sampler
from trainwright.families.latent_diffusion.networks import Codec
from trainwright.families.latent_diffusion.noise import Noise


def save_pipeline(folder: Path, unet: nn.Module, codec: Codec, noise: Noise, sampling: Sampler) -> str:
    """Save UNet, autoencoder and scheduler as diffusers' ``LDMPipeline``; return the code that loads it."""
    whole: Any = LDMPipeline(vqvae=_scaled(codec), unet=unet, scheduler=noise.scheduler(sampling))
    whole.save_pretrained(str(folder))
    return (
        "diffusers.DiffusionPipeline.from_pretrained({folder!r})(batch_size=16, "
        f"num_inference_steps={sampling.sampler_steps}).images"
    )


def save_autoencoder(folder: Path, codec: Codec) -> str:
    """Save only the autoencoder; return the code that loads it."""
    _scaled(codec).save_pretrained(str(folder))
    return "diffusers.AutoencoderKL.from_pretrained({folder!r})"


def _scaled(codec: Codec) -> Any:
    codec.vae.register_to_config(scaling_factor=float(codec.scale))
    return codec.vae

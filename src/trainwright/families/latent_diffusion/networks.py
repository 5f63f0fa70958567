"""Networks of both stages: autoencoder with its measured scale, patch discriminator, and noise predictor.

All but the patch discriminator are networks of diffusers.
"""

import json

import torch
from diffusers import AutoencoderKL, UNet2DModel
from torch import Tensor, nn

from trainwright.errors import UserError
from trainwright.families.latent_diffusion.config import Autoencoder, UNet
from trainwright.families.latent_diffusion.imported import build
from trainwright.randomness import normal

GROUPS = 32
NARROW = -6.0  # log variance of q(z | x) at the start: noise of variance 1 would hide the signal early in training


class Codec(nn.Module):
    """KL autoencoder (Rombach et al. 2022), with measurements of its latents.

    Its buffers are ``scale``, ``centre`` and ``spread``. ``scale`` is one over the standard deviation of the training images'
    latents, so ``scale * z`` has unit variance. ``centre`` and ``spread`` (c, h, w) are mean and standard deviation of each
    number of a latent.
    """

    scale: Tensor
    centre: Tensor
    spread: Tensor

    def __init__(self, settings: Autoencoder, channels: int, size: int) -> None:
        super().__init__()
        self.vae = _autoencoder(settings, channels, size)
        side = size >> settings.halvings
        self.shape = (int(self.vae.config["latent_channels"]), side, side)
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("centre", torch.zeros(self.shape))
        self.register_buffer("spread", torch.ones(self.shape))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode and decode images (B, C, H, W): reconstruction from one draw, mean and log variance.

        Mean and log variance are (B, c, h, w) and not scaled.
        """
        mean, log_variance = self.moments(images)
        noise = normal(*mean.shape).to(mean)
        return self.vae.decode(mean + noise * torch.exp(0.5 * log_variance)).sample, mean, log_variance

    def moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Compute mean and log variance of q(z | x), each (B, c, h, w), not scaled."""
        posterior = self.vae.encode(images).latent_dist
        return posterior.mean, posterior.logvar

    def decode(self, scaled: Tensor) -> Tensor:
        """Decode scaled latents (B, c, h, w) to images (B, C, H, W), clamped to [-1, 1]."""
        return self.vae.decode(scaled / self.scale).sample.clamp(-1, 1)

    @torch.no_grad()
    def measure(self, latents: Tensor) -> None:
        """Set scale, centre and spread from latents (n, c, h, w) that are not scaled."""
        self.scale.copy_(1 / latents.std().clamp_min(1e-8))
        self.centre.copy_(latents.mean(0))
        self.spread.copy_(latents.std(0) if len(latents) > 1 else torch.zeros_like(self.centre))


def _autoencoder(settings: Autoencoder, channels: int, size: int) -> AutoencoderKL:
    if settings.imported:
        return build(AutoencoderKL, json.loads(settings.imported), "autoencoder")
    levels = len(settings.widths)
    network = AutoencoderKL(
        in_channels=channels,
        out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=settings.widths,
        layers_per_block=settings.encoder_blocks,
        latent_channels=settings.latent_channels,
        norm_num_groups=groups(settings.widths),
        sample_size=size,
        mid_block_add_attention=settings.middle_attention,
    )
    nn.init.constant_(network.quant_conv.bias[settings.latent_channels :], NARROW)
    return network


def make_unet(settings: UNet, shape: tuple[int, int, int]) -> UNet2DModel:
    """Build the noise predictor for latents of ``shape``; its last convolution starts at 0 unless it is imported."""
    channels, side, _ = shape
    if settings.imported:
        return _fitting(build(UNet2DModel, json.loads(settings.imported), "begin_from"), channels)
    widths = tuple(settings.base_channels * factor for factor in settings.multipliers)
    sides = [side >> level for level in range(len(widths))]
    attends = [s in settings.attention for s in sides]
    network = UNet2DModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=settings.blocks,
        block_out_channels=widths,
        down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attends),
        up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)),
        attention_head_dim=min(settings.head_channels, widths[0]),
        norm_num_groups=groups(widths),
        dropout=settings.dropout,
    )
    nn.init.zeros_(network.conv_out.weight)
    nn.init.zeros_(network.conv_out.bias)
    return network


def _fitting(unet: UNet2DModel, channels: int) -> UNet2DModel:
    own = (unet.config["in_channels"], unet.config["out_channels"])
    if own != (channels, channels):
        raise UserError(
            f"begin_from: the UNet there has {own[0]} channels, but the autoencoder's latents have {channels}."
        )
    return unet


def groups(widths: tuple[int, ...]) -> int:
    """Find the largest number of groups, up to 32, that divides every width."""
    return next(g for g in range(min(GROUPS, *widths), 0, -1) if all(w % g == 0 for w in widths))


def patch_discriminator(features: int, channels: int, size: int) -> nn.Module:
    """Build a PatchGAN (Isola et al. 2017) from images (B, C, H, W) to scores (B, 1, h, w).

    It halves the side twice up to 32 pixels, and three times above.
    """
    layers: list[nn.Module] = [nn.Conv2d(channels, features, 4, 2, 1), nn.LeakyReLU(0.2)]
    width = features
    for _ in range(1 if size <= 32 else 2):
        layers += [
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.GroupNorm(groups((2 * width,)), 2 * width),
            nn.LeakyReLU(0.2),
        ]
        width *= 2
    return nn.Sequential(*layers, nn.Conv2d(width, 1, 3, 1, 1))

"""Latent diffusion: one family, two stages; which one a config trains stands in it."""

from typing import Any

from trainwright.families.latent_diffusion.stage_one import AutoencoderStage
from trainwright.families.latent_diffusion.stage_two import DiffusionStage
from trainwright.train.system import System

STAGES: dict[str, type[System]] = {"autoencoder": AutoencoderStage, "diffusion": DiffusionStage}


def stage(config: Any) -> type[System]:
    """The system of the stage that ``config`` trains."""
    return STAGES[config.stage]

"""Latent diffusion: one family, two stages; which one a config trains stands in it."""

import importlib
from importlib.util import find_spec
from typing import Any

from trainwright.engine.model import GenerativeModel
from trainwright.errors import UserError

STAGES = {"autoencoder": "autoencoder_stage:AutoencoderStage", "diffusion": "diffusion_stage:DiffusionStage"}


def stage(config: Any) -> type[GenerativeModel]:
    """The system of the stage that ``config`` trains.

    Raises:
        UserError: the library that its networks and samplers come from is not installed.
    """
    if find_spec("diffusers") is None:
        raise UserError("latent diffusion needs the library diffusers: pip install 'trainwright[diffusion]'.")
    module, _, name = STAGES[config.stage].partition(":")
    found: type[GenerativeModel] = getattr(importlib.import_module(f"{__package__}.{module}"), name)
    return found

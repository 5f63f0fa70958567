"""Latent diffusion: one family, two stages; which one a config trains stands in it."""

import importlib
from importlib.util import find_spec
from typing import Any

from trainwright.engine.model import System
from trainwright.errors import UserError

STAGES = {"autoencoder": "stage_one:AutoencoderStage", "diffusion": "stage_two:DiffusionStage"}


def stage(config: Any) -> type[System]:
    """The system of the stage that ``config`` trains.

    Raises:
        UserError: the library that its networks and samplers come from is not installed.
    """
    if find_spec("diffusers") is None:
        raise UserError("latent diffusion needs the library diffusers: pip install 'trainwright[diffusion]'.")
    module, _, name = STAGES[config.stage].partition(":")
    found: type[System] = getattr(importlib.import_module(f"{__package__}.{module}"), name)
    return found

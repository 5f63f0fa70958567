"""Choice between the two stages of latent diffusion, by the setting ``stage``."""

import importlib
from importlib.util import find_spec
from typing import Any

from trainwright.engine.model import GenerativeModel
from trainwright.errors import UserError

STAGES = {"autoencoder": "autoencoder_stage:AutoencoderStage", "diffusion": "diffusion_stage:DiffusionStage"}


def stage(config: Any) -> type[GenerativeModel]:
    """Return the model class of the stage that ``config`` trains.

    Raises:
        UserError: diffusers, which has its networks and samplers, is not installed.
    """
    if find_spec("diffusers") is None:
        raise UserError("latent diffusion needs the library diffusers: pip install 'trainwright[diffusion]'.")
    module, _, name = STAGES[config.stage].partition(":")
    found: type[GenerativeModel] = getattr(importlib.import_module(f"{__package__}.{module}"), name)
    return found

"""Import of diffusers networks from a folder.

An error of a folder becomes one sentence for the user, and nothing is unpickled.
"""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from trainwright.errors import UserError

TROUBLE = (OSError, ValueError, TypeError, KeyError, RuntimeError, NotImplementedError, SafetensorError)


def build(kind: Any, settings: dict[str, Any], name: str) -> Any:
    """Build a network of diffusers' class ``kind`` with these settings and new weights.

    Raises:
        UserError: the class cannot be built with these settings; ``name`` is the setting that they came from.
    """
    try:
        return kind.from_config(settings)
    except TROUBLE as error:
        raise UserError(
            f"{name}: no {kind.__name__} can be built from its config.json ({_first_line(error)})."
        ) from None


def weights(kind: Any, folder: Path, name: str) -> Any:
    """Load the network in a folder with its weights.

    Raises:
        UserError: weights are missing, damaged, of another network, or not safetensors.
    """
    try:
        found, info = kind.from_pretrained(
            str(folder), use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False, output_loading_info=True
        )
    except TROUBLE as error:
        raise UserError(
            f"{name}: {folder} cannot be loaded ({_first_line(error)}). It needs config.json and "
            "diffusion_pytorch_model.safetensors as diffusers saves them."
        ) from None
    missing = [*info.get("missing_keys", ()), *info.get("mismatched_keys", ())]
    if missing:
        raise UserError(f"{name}: {folder} lacks weights that its config.json needs; the first is {missing[0]}.")
    return found


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]

"""A folder of fits that can be copied to another machine: images, Gaussians, settings and quality in two files.

``fits.safetensors`` holds ``sets`` and ``images``; ``fits.json`` names, digests, settings and quality.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from trainwright.data.gaussians.config import GaussianData
from trainwright.data.gaussians.sets import GaussianSets
from trainwright.errors import UserError
from trainwright.files import atomic_path, write_json

TENSORS, INDEX = "fits.safetensors", "fits.json"
FORMAT = 1


def is_fit_folder(folder: Path) -> bool:
    """Return True for a folder that :func:`write_folder` wrote."""
    return (folder / INDEX).is_file()


def write_folder(folder: Path, found: GaussianSets, config: GaussianData) -> None:
    """Write the two files atomically, the index last."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX).unlink(missing_ok=True)
    with atomic_path(folder / TENSORS) as temporary:
        tensors = {"sets": torch.from_numpy(np.array(found.sets)), "images": torch.from_numpy(np.array(found.pixels))}
        save_file(tensors, temporary)
    facts = {
        "format": FORMAT,
        "settings": settings_of(config),
        "names": found.names,
        "digests": found.digests,
        "skipped": [list(pair) for pair in found.skipped],
        **{key: getattr(found, key).tolist() for key in ("psnr", "ssim", "steps")},
    }
    write_json(folder / INDEX, facts)


def settings_of(config: GaussianData) -> dict[str, object]:
    """Return the settings that a fit depends on, as flat names."""
    fit = {f"fitting.{key}": value for key, value in config.fitting.model_dump(mode="json").items()}
    return {"size": config.size, "channels": config.channels, **fit}


def read_folder(folder: Path, config: GaussianData) -> GaussianSets:
    """Return the fits of a folder.

    Raises:
        UserError: a damaged file, or fits made with other settings than ``config`` asks for: the message gives the overrides.
    """
    try:
        facts = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        with safe_open(folder / TENSORS, framework="np") as handle:
            sets, pixels = handle.get_tensor("sets"), handle.get_tensor("images")
        made, wanted = facts["settings"], settings_of(config)
        found = GaussianSets(
            sets, pixels, facts["digests"], facts["names"], [(n, r) for n, r in facts["skipped"]],
            *(np.array(facts[key]) for key in ("psnr", "ssim", "steps")),
        )  # fmt: skip
        whole = len(sets) == len(pixels) == len(found.names) == len(found.digests) == len(found.psnr)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(f"data: {folder} holds damaged fits ({type(error).__name__}); fit the images again.") from None
    if not whole:
        raise UserError(f"data: {folder} holds damaged fits (their numbers differ); fit the images again.")
    other = [f"{key}={made[key]}" for key, value in wanted.items() if made.get(key) != value and key in made]
    if other:
        raise UserError(
            f"data: {folder} was fitted with other settings. Add {' '.join(other)}, or fit the images again."
        )
    return found

"""Settings that a mode, the folders and the recipe of the autoencoder prescribe for the rest of a recipe."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainwright.config.header import take_header
from trainwright.config.reading import Settings, add_mapping, read_yaml, validate
from trainwright.errors import UserError
from trainwright.families.latent_diffusion import folders
from trainwright.families.latent_diffusion.config import OVERFIT, LatentDiffusionConfig
from trainwright.runs.folder import Run

RECIPES = Path(__file__).parent / "recipes"
Given = frozenset[tuple[str, ...]]
IMAGE_SETTINGS = (
    "size",
    "channels",
    "background",
    "fit",
    "interpolation",
    "source",
    "held_out",
)  # settings of an autoencoder's images, which stage two takes from it


def resolve(config: LatentDiffusionConfig, given: Given) -> LatentDiffusionConfig:
    """Return the config with all of them filled in. The user's settings (``given``) win, except over a mode.

    Raises:
        UserError: the folder does not exist, holds something else, or contradicts the user's settings.
    """
    if config.stage != "diffusion":
        return config
    update: dict[str, Any] = {**_autoencoder(config, given), **_unet(config)}
    if config.mode != "full_train":
        data = update.get("data", config.data)
        still = data.augment.model_copy(update={"flip": 0.0})
        update |= {"subset": OVERFIT[config.mode], "data": data.model_copy(update={"augment": still})}
    elif ("mode",) in given and ("subset",) not in given:
        update |= {"subset": None}
    if not update:
        return config
    return _checked(config.autoencoder, config.model_copy(update=update).model_dump(mode="json"))


def _checked(where: str, values: Mapping[str, Any]) -> LatentDiffusionConfig:
    settings = Settings(f"with {where}")
    settings.values = dict(values)
    return validate(settings, LatentDiffusionConfig)


def _autoencoder(config: LatentDiffusionConfig, given: Given) -> dict[str, Any]:
    place = Path(config.autoencoder).expanduser()
    if not place.is_dir():
        if config.autoencoder.count("/") == 1 and config.autoencoder.startswith("latent_diffusion/"):
            return _network_of_recipe(config, given)
        raise UserError(
            f"autoencoder: {config.autoencoder!r} is no folder. Give a run of latent_diffusion/autoencoder or a diffusers folder, or "
            "omit the setting: then an autoencoder is trained first."
        )
    typed = sorted(".".join(path) for path in given if path[0] in ("vae", "stage_one"))
    if typed:
        raise UserError(f"{typed[0]} is fixed by the autoencoder in {place}; give only one of the two.")
    found = folders.diffusers_config(place, "AutoencoderKL", ("vae", "vqvae"))
    where = {"autoencoder": str(place.resolve())}
    if found is not None:
        return {**where, "vae": config.vae.model_copy(update={"imported": found})}
    settings = folders.run_settings(place)
    if settings is None or settings.get("stage") != "autoencoder":
        raise UserError(
            f"autoencoder: {place} holds neither a run of stage one nor a diffusers AutoencoderKL. Train one with "
            "`trainwright train latent_diffusion/autoencoder`."
        )
    facts = Run(place).read()
    if facts["status"] != "finished":
        raise UserError(
            f"autoencoder: {place} is {facts['status']} at step {facts['step']} of {facts['steps']}; finish it first, with "
            f"`trainwright resume {place}`."
        )
    trained = _checked(str(place), settings)
    taken = {key: getattr(trained.data, key) for key in IMAGE_SETTINGS if ("data", key) not in given}
    return {**where, "vae": trained.vae, "data": config.data.model_copy(update=taken)}


def _network_of_recipe(config: LatentDiffusionConfig, given: Given) -> dict[str, Any]:
    """Take the network of the recipe that the user named; the user's own settings of it win."""
    if ("autoencoder",) not in given:
        return {}
    typed = {path[1]: getattr(config.vae, path[1]) for path in given if path[0] == "vae"}
    return {"vae": shipped(config.autoencoder).vae.model_copy(update=typed)}


def shipped(autoencoder: str) -> LatentDiffusionConfig:
    """Load a shipped recipe of stage one by its name, with ``latent_diffusion/`` before it.

    Raises:
        UserError: no recipe has that name, or it does not train an autoencoder.
    """
    file = RECIPES / f"{autoencoder.removeprefix('latent_diffusion/')}.yaml"
    if not file.is_file():
        raise UserError(
            f"autoencoder: {autoencoder!r} is neither a recipe nor a folder. latent_diffusion/autoencoder is a recipe."
        )
    settings = Settings()
    _add(settings, file)
    first = validate(settings, LatentDiffusionConfig)
    if first.stage != "autoencoder":
        raise UserError(f"autoencoder: {autoencoder} does not train an autoencoder.")
    return first


def _add(settings: Settings, file: Path) -> None:
    """Add the settings of a recipe's file, after those of the one that it extends."""
    found = read_yaml(file)
    take_header(found, str(file))
    found.pop("family", None)
    base = found.pop("extends", None)
    if base:
        _add(settings, file.with_name(f"{base}.yaml"))
    add_mapping(settings, LatentDiffusionConfig, found, str(file))


def _unet(config: LatentDiffusionConfig) -> dict[str, Any]:
    if not config.begin_from:
        return {}
    place = Path(config.begin_from).expanduser()
    found = folders.diffusers_config(place, "UNet2DModel", ("unet",))
    if found is None:
        raise UserError(f"begin_from: {config.begin_from!r} is no folder with a diffusers UNet2DModel.")
    return {"begin_from": str(place.resolve()), "model": config.model.model_copy(update={"imported": found})}

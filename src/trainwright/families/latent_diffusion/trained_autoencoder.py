"""Trained autoencoder of stage two: from a run, from a diffusers folder, or trained now and cached."""

import hashlib
import json
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL

from trainwright.data.array_cache import cache_root, locked
from trainwright.data.images import Images
from trainwright.engine import checkpoint as checkpoints
from trainwright.engine.model import Progress
from trainwright.engine.session import train
from trainwright.errors import UserError
from trainwright.families.latent_diffusion import folders
from trainwright.families.latent_diffusion.config import LatentDiffusionConfig
from trainwright.families.latent_diffusion.imported import weights
from trainwright.families.latent_diffusion.networks import Codec
from trainwright.families.latent_diffusion.prescribed import shipped
from trainwright.runs.folder import Run

VERSION = 1  # of stage one's training; another number invalidates the cached autoencoders
DECIDES = (
    "seed",
    "epochs",
    "steps",
    "batch_size",
    "max_grad_norm",
    "precision",
)  # settings of the train section that change the result


def codec_for(config: LatentDiffusionConfig, images: Images, progress: Progress | None) -> Codec:
    """Load the trained autoencoder that ``config`` names, frozen.

    Raises:
        UserError: the folder is missing or does not fit, or the autoencoder could not be trained.
    """
    place = Path(config.autoencoder).expanduser()
    inside = folders.diffusers_folder(place, "AutoencoderKL", ("vae", "vqvae")) if place.is_dir() else None
    codec = Codec(config.vae, config.data.channels, config.data.size)
    if inside is not None:
        codec.vae = _imported(inside, config)
    else:
        _fill(codec, place if place.is_dir() else trained(config, images, progress))
    return codec.requires_grad_(False).eval()


def trained(config: LatentDiffusionConfig, images: Images, progress: Progress | None) -> Path:
    """Return the run folder of the recipe that ``config.autoencoder`` names, trained on these images if needed.

    It is in the cache, under a key of everything that changes the result. After an interruption it resumes.
    """
    first = stage_one(config)
    dumped = first.model_dump(mode="json")
    decides = {key: dumped[key] for key in ("vae", "stage_one", "optim")}
    decides["train"] = {key: dumped["train"][key] for key in DECIDES}
    data = [images.identity, dumped["data"]["held_out"], dumped["data"]["augment"]]
    data += [first.subset] if first.subset else []
    text = json.dumps([VERSION, decides, data], sort_keys=True)
    folder = cache_root() / "autoencoders" / hashlib.sha256(text.encode()).hexdigest()[:24]
    with locked(folder.name):  # one of several workers trains, the others wait
        run = Run(folder)
        if not run.exists or run.read()["status"] != "finished":
            from trainwright.families.latent_diffusion import FAMILY

            shown = _Counted(progress)
            outcome = train(FAMILY, first, run, shown, stop=lambda: shown.stopped)
            if outcome.status == "interrupted":
                raise KeyboardInterrupt
            if outcome.status != "finished":
                raise UserError(
                    f"the training of the autoencoder did not finish ({outcome.status}: {outcome.message}). "
                    f"`trainwright doctor {folder}` shows the cause."
                )
    return folder


def stage_one(config: LatentDiffusionConfig) -> LatentDiffusionConfig:
    """Return the config of the autoencoder: its recipe with this run's images, network and device."""
    first = shipped(config.autoencoder)
    here = config.train
    training: dict[str, Any] = {
        "threads": here.threads, "accelerator": here.accelerator, "tracker": "none", "devices": 1,
    }  # fmt: skip  # the seed is that of the recipe, so runs of a plan with different seeds share one autoencoder
    if config.autoencoder_steps is not None:
        training |= {"steps": config.autoencoder_steps}
    own = {k: v for k, v in config.stage_one if v != type(config.stage_one).model_fields[k].default}
    few = config.autoencoder_subset
    return first.model_copy(
        update={
            "family": "latent_diffusion",
            "recipe": config.autoencoder,
            "data": config.data.model_copy(update={} if few else {"augment": first.data.augment}),
            "subset": config.subset if few else None,
            "vae": config.vae,
            "stage_one": first.stage_one.model_copy(update=own),
            "train": first.train.model_copy(update=training),
        }
    )


def _fill(codec: Codec, folder: Path) -> None:
    newest = checkpoints.latest(Run(folder).checkpoints)
    tensors = checkpoints.load_tensors(newest.folder / checkpoints.TENSORS)
    averaged = "average.autoencoder."
    prefix = averaged if any(key.startswith(averaged) for key in tensors) else "network.autoencoder."
    checkpoints.restore_network(codec, tensors, prefix, newest.folder)


def _imported(folder: Path, config: LatentDiffusionConfig) -> AutoencoderKL:
    vae = weights(AutoencoderKL, folder, "autoencoder")
    if vae.config["in_channels"] != config.data.channels:
        raise UserError(
            f"autoencoder: {folder} needs images of {vae.config['in_channels']} channels; set data.channels to that number."
        )
    return vae


class _Counted:
    """Progress of stage one's training for the bar of data preparation; an interruption there saves a checkpoint."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress, self.stopped = progress, False

    def status(self, text: str, done: int, total: int) -> None:
        """Update the progress bar."""
        try:
            if self.progress is not None:
                self.progress(done, total)
        except KeyboardInterrupt:
            self.stopped = True

    def note(self, text: str) -> None:
        """Ignore a note: the run's events have it."""

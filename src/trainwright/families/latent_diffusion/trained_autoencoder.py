"""The trained autoencoder that stage two works in: from a run, from a diffusers folder, or trained now and kept for the next time."""

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

VERSION = 1  # of what stage one does: other numbers, other autoencoders
DECIDES = ("seed", "epochs", "steps", "batch_size", "max_grad_norm", "precision")  # of the train section


def codec_for(config: LatentDiffusionConfig, images: Images, progress: Progress | None) -> Codec:
    """The trained autoencoder that ``config`` names, frozen.

    Raises:
        UserError: the folder is gone or does not fit; or the autoencoder could not be trained.
    """
    place = Path(config.autoencoder).expanduser()
    inside = folders.diffusers_folder(place, "AutoencoderKL", ("vae", "vqvae")) if place.is_dir() else None
    codec = Codec(config.vae, config.data.channels, config.data.size)
    if inside is not None:
        codec.vae = _brought_in(inside, config)
    else:
        _fill(codec, place if place.is_dir() else trained(config, images, progress))
    return codec.requires_grad_(False).eval()


def trained(config: LatentDiffusionConfig, images: Images, progress: Progress | None) -> Path:
    """The run folder of the recipe that ``config.autoencoder`` names on these images; trained if that was not done yet.

    It lies in the cache under a key of all that decides what comes out. Interrupted, it goes on where it stopped.
    """
    first = stage_one(config)
    dumped = first.model_dump(mode="json")
    decides = {key: dumped[key] for key in ("vae", "stage_one", "optim")}
    decides["train"] = {key: dumped["train"][key] for key in DECIDES}
    data = [images.identity, dumped["data"]["held_out"], dumped["data"]["augment"]]
    data += [first.subset] if first.subset else []
    text = json.dumps([VERSION, decides, data], sort_keys=True)
    folder = cache_root() / "autoencoders" / hashlib.sha256(text.encode()).hexdigest()[:24]
    with locked(folder.name):  # of several workers one trains, the others wait for it
        run = Run(folder)
        if not run.exists or run.read()["status"] != "finished":
            from trainwright.families.latent_diffusion import FAMILY

            shown = _Counted(progress)
            outcome = train(FAMILY, first, run, shown, stop=lambda: shown.stopped)
            if outcome.status == "interrupted":
                raise KeyboardInterrupt
            if outcome.status != "finished":
                raise UserError(
                    f"the autoencoder did not train to its end ({outcome.status}: {outcome.message}). "
                    f"`trainwright doctor {folder}` says why."
                )
    return folder


def stage_one(config: LatentDiffusionConfig) -> LatentDiffusionConfig:
    """The recipe of the autoencoder with this run's images, network and device."""
    first = shipped(config.autoencoder)
    here = config.train
    training: dict[str, Any] = {
        "threads": here.threads, "accelerator": here.accelerator, "tracker": "none", "devices": 1,
    }  # fmt: skip  # the seed is the recipe's own: runs of a plan that differ in theirs share one autoencoder
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


def _brought_in(folder: Path, config: LatentDiffusionConfig) -> AutoencoderKL:
    vae = weights(AutoencoderKL, folder, "autoencoder")
    if vae.config["in_channels"] != config.data.channels:
        raise UserError(
            f"autoencoder: {folder} is for images of {vae.config['in_channels']} channels; set data.channels to that."
        )
    return vae


class _Counted:
    """The training of stage one as one more thing that is prepared, for a progress bar; interrupted there, it saves a checkpoint."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress, self.stopped = progress, False

    def status(self, text: str, done: int, total: int) -> None:
        """Moves the bar."""
        try:
            if self.progress is not None:
                self.progress(done, total)
        except KeyboardInterrupt:
            self.stopped = True

    def note(self, text: str) -> None:
        """Nothing: the run's events have it."""

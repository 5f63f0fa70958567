"""Images as latents: encoded once into a memory-mapped array, of which each training batch is a slice."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainwright.data.array_cache import Writer, cached
from trainwright.data.images import Images, to_signed
from trainwright.data.stream import batch_indices
from trainwright.engine.model import Progress
from trainwright.families.latent_diffusion.config import LatentDiffusionConfig
from trainwright.families.latent_diffusion.networks import Codec
from trainwright.families.latent_diffusion.trained_autoencoder import codec_for
from trainwright.randomness import normal, uniform

VERSION = 1
CHUNK = 32


@dataclass(frozen=True)
class Latents:
    """The latents of an image set.

    Attributes:
        source: the images; the latents have the same split.
        codec: the frozen autoencoder, with scale and moments measured on the training images.
        moments: (N, V, 2c, h, w) float32, memory-mapped: means and standard deviations of q(z | x), not scaled, of the image and,
            with flips (V = 2), of its mirror image.
        train: indices of training images.
        identity: of images and autoencoder.
        flip: probability of the mirror image.
    """

    source: Images
    codec: Codec
    moments: np.ndarray
    train: np.ndarray
    identity: str
    flip: float

    @classmethod
    def open(cls, config: LatentDiffusionConfig, progress: Progress | None = None) -> "Latents":
        """Encode the images, or open them from the cache; train the autoencoder first if ``config`` names a recipe.

        Raises:
            UserError: from the images or the autoencoder.
        """
        images = Images.open(config.data, progress)
        with torch.random.fork_rng(devices=[]):
            codec = codec_for(config, images, progress)
        flip = config.data.augment.flip
        identity = hashlib.sha256(json.dumps([VERSION, images.identity, _fingerprint(codec)]).encode()).hexdigest()
        key = f"{identity[:32]}-{'mirrored' if flip > 0 else 'plain'}"
        shown, device = progress or (lambda done, total: None), _device(config)
        moments = cached("latents", key, lambda w: _encode(images, codec, flip > 0, device, w, shown)).arrays["moments"]
        train = images.first("train", config.subset) if config.subset else images.train
        found = cls(images, codec, moments, train, identity[:16], flip)
        codec.measure(found.unscaled(train if config.autoencoder_subset else images.train))
        if config.latent_scale is not None:
            codec.scale.fill_(config.latent_scale)
        return found

    def __len__(self) -> int:
        return len(self.train)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """List (name, reason) of every file that ``on_error: skip`` skipped."""
        return self.source.skipped

    def fetch(self, seed: int, start: int, size: int) -> np.ndarray:
        """Read the moments of a batch: (size, V, 2c, h, w)."""
        return self.moments[self.train[batch_indices(seed, start, size, len(self.train))]]

    def prepare(self, raw: Tensor) -> Tensor:
        """Draw one scaled latent (B, c, h, w) from each of the moments (B, V, 2c, h, w), some of the mirror image."""
        chosen = raw[:, 0]
        if raw.shape[1] > 1:
            mirrored = (uniform(len(raw), 1, 1, 1) < self.flip).to(raw.device)
            chosen = torch.where(mirrored, raw[:, 1], chosen)
        mean, deviation = chosen.chunk(2, 1)
        noise = normal(*mean.shape).to(raw.device)
        return (mean + deviation * noise) * float(self.codec.scale)

    def some(self, part: str, count: int) -> Tensor:
        """Return the scaled means of the first images of ``train`` or ``held_out`` in content order: (n, c, h, w)."""
        return self.unscaled(self._first(part, count)) * float(self.codec.scale)

    def images(self, part: str, count: int) -> Tensor:
        """Return the images themselves, (n, C, H, W) in [-1, 1], as a reference for samples."""
        return to_signed(torch.from_numpy(self.source.stored.pixels[self._first(part, count)]))

    def unscaled(self, indices: np.ndarray) -> Tensor:
        """Return the means of q(z | x) of images by index: (n, c, h, w)."""
        means = self.moments[indices, 0, : self.codec.shape[0]]
        return torch.from_numpy(means)

    def _first(self, part: str, count: int) -> np.ndarray:
        if part == "train" and len(self.train) < len(self.source.train):
            count = min(count, len(self.train))  # the subset is the first in content order too
        return self.source.first(part, count)


def _fingerprint(codec: Codec) -> str:
    """Hash the autoencoder's weights."""
    found = hashlib.sha256()
    for name, tensor in codec.vae.state_dict().items():
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _device(config: LatentDiffusionConfig) -> torch.device:
    wanted = config.train.accelerator in ("auto", "cuda") and torch.cuda.is_available()
    return torch.device("cuda" if wanted else "cpu")


def _encode(
    images: Images, codec: Codec, mirrored: bool, device: torch.device, writer: Writer, progress: Progress
) -> dict[str, Any]:
    pixels = images.stored.pixels
    codec.to(device)
    with torch.no_grad():
        for begin in range(0, len(pixels), CHUNK):
            batch = to_signed(torch.from_numpy(pixels[begin : begin + CHUNK].copy())).to(device)
            views = [batch, batch.flip(-1)] if mirrored else [batch]
            found = [torch.cat([mean, (0.5 * spread).exp()], 1) for mean, spread in map(codec.moments, views)]
            writer.append("moments", torch.stack(found, 1).float().cpu().contiguous().numpy())
            progress(min(begin + CHUNK, len(pixels)), len(pixels))
    codec.to("cpu")
    return {}

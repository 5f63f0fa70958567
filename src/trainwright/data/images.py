"""Images as the training loop uses them: training batches by position, held-out images, [-1, 1] tensors."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from PIL import ImageColor
from torch import Tensor

from trainwright.data.augment import augment
from trainwright.data.cache import ImageSet, Progress, load
from trainwright.data.config import ImageData
from trainwright.data.split import split
from trainwright.data.stream import batch_indices
from trainwright.errors import UserError


@dataclass(frozen=True)
class Images:
    """A data set of images, split, ready for training."""

    config: ImageData
    stored: ImageSet
    train: np.ndarray  # indices into stored.pixels
    held_out: np.ndarray

    @classmethod
    def open(cls, config: ImageData, progress: Progress | None = None) -> "Images":
        """Decode the images, or read them from the cache, and split them; see :func:`trainwright.data.cache.load` for errors."""
        images = load(config, progress)
        train, held_out = split(images.digests, config.held_out)
        if len(train) < 2:
            raise UserError(f"data: {config.source!r} leaves {len(train)} images for training; at least 2 are needed.")
        return cls(config, images, train, held_out)

    def __len__(self) -> int:
        return len(self.train)

    @property
    def identity(self) -> str:
        """Hash of all pixels."""
        return self.stored.identity

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(name, reason) of every file that ``on_error: skip`` skipped."""
        return self.stored.skipped

    def fetch(self, seed: int, start: int, size: int) -> np.ndarray:
        """Raw training batch: (size, H, W, C) uint8."""
        return self.stored.pixels[self.train[batch_indices(seed, start, size, len(self.train))]]

    def prepare(self, raw: Tensor) -> Tensor:
        """(B, H, W, C) uint8 on any device -> augmented (B, C, H, W) float in [-1, 1], channels-last in memory."""
        return augment(to_signed(raw), self.config.augment, self.background).contiguous(
            memory_format=torch.channels_last
        )

    @property
    def background(self) -> Tensor:
        """Colour (C,) in [-1, 1] of the border; transparent where there is an alpha channel."""
        red, green, blue = ImageColor.getrgb(self.config.background)[:3]
        grey = [round(0.299 * red + 0.587 * green + 0.114 * blue)]
        values = {1: grey, 3: [red, green, blue], 4: [red, green, blue, 0]}[self.config.channels]
        return torch.tensor(values) / 127.5 - 1

    def some(self, part: str, count: int) -> Tensor:
        """The first ``count`` images of ``train`` or ``held_out`` in content order: (n, C, H, W) in [-1, 1]."""
        return to_signed(torch.from_numpy(self.stored.pixels[self.first(part, count)]))

    def first(self, part: str, count: int) -> np.ndarray:
        """Indices of the first ``count`` images of a part in content order, sorted."""
        return np.sort(self._by_content[part][:count])

    def images(self, part: str, count: int) -> Tensor:
        """Return the same as :meth:`some`: the samples are images."""
        return self.some(part, count)

    @cached_property
    def _by_content(self) -> dict[str, np.ndarray]:
        parts = {"train": self.train, "held_out": self.held_out}
        return {name: np.array(sorted(p, key=self.stored.digests.__getitem__), np.int64) for name, p in parts.items()}


def to_signed(raw: Tensor) -> Tensor:
    """(B, H, W, C) bytes -> (B, C, H, W) float in [-1, 1]; the memory stays channels-last."""
    return raw.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_byte_tensor(images: Tensor) -> Tensor:
    """(B, C, H, W) in [-1, 1] -> the same in uint8, on the CPU: what image metrics take."""
    return torch.from_numpy(to_bytes(images)).permute(0, 3, 1, 2)


def to_bytes(images: Tensor) -> np.ndarray:
    """(B, C, H, W) in [-1, 1] -> (B, H, W, C) uint8."""
    scaled = images.detach().float().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
    return scaled.permute(0, 2, 3, 1).cpu().numpy()

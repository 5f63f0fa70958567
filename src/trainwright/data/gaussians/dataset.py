"""Fitted images as the training loop uses them: ordered, in one form, normalised, in batches by position."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainwright.data.array_cache import Writer, cached
from trainwright.data.cache import Progress
from trainwright.data.gaussians.config import GaussianData
from trainwright.data.gaussians.form import Form
from trainwright.data.gaussians.order import morton
from trainwright.data.gaussians.render import Canvas
from trainwright.data.gaussians.sets import GaussianSets
from trainwright.data.gaussians.store import load
from trainwright.data.images import to_signed
from trainwright.data.split import split
from trainwright.data.stream import batch_indices
from trainwright.errors import UserError

CHUNK = 256


@dataclass(frozen=True)
class FittedImages:
    """A data set of Gaussian sets, split, ready for training.

    Attributes:
        config: the settings of the data.
        fits: the images and their Gaussians.
        values: (P, width, N) float32 in the config's form and order, not normalised; memory-mapped.
        train: indices of training images.
        held_out: indices of held-out images.
        mean: (width, 1) or (width, N), over the training images.
        std: (width, 1), over the training images.
        slot_mean: (width, N), the training images' mean at each place, in normalised units.
    """

    config: GaussianData
    fits: GaussianSets
    values: np.ndarray
    train: np.ndarray
    held_out: np.ndarray
    mean: Tensor
    std: Tensor
    slot_mean: Tensor

    @classmethod
    def open(cls, config: GaussianData, progress: Progress | None = None) -> "FittedImages":
        """Fit the images (or find the fits), split by content, and measure the normalisation on the training part."""
        fits = load(config, progress)
        train, held_out = split(fits.digests, config.held_out)
        if len(train) < 2:
            raise UserError(f"data: {config.source!r} leaves {len(train)} images for training; at least 2 are needed.")
        values = _encoded(fits, config)
        mean, std, slots = _normalisation(values, train, config.normalise)
        return cls(config, fits, values, train, held_out, mean, std, (slots - mean) / std)

    def __len__(self) -> int:
        return len(self.train)

    @property
    def identity(self) -> str:
        """Hash of the images and their Gaussians."""
        return self.fits.identity

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(name, reason) of every image that ``on_error: skip`` skipped."""
        return self.fits.skipped

    @property
    def form(self) -> Form:
        """The form of ``values``."""
        return Form(self.config.form, self.config.channels)

    @property
    def canvas(self) -> Canvas:
        """Canvas that sets are rendered to."""
        return Canvas(self.config.size, self.config.size)

    def fetch(self, seed: int, start: int, size: int) -> np.ndarray:
        """Raw training batch: (size, width, N) float32."""
        return self.values[self.train[batch_indices(seed, start, size, len(self.train))]]

    def prepare(self, raw: Tensor) -> Tensor:
        """Normalised (B, width, N)."""
        return (raw - self.mean.to(raw)) / self.std.to(raw)

    def some(self, part: str, count: int) -> Tensor:
        """The first ``count`` sets of ``train`` or ``held_out`` in content order, normalised: (n, width, N)."""
        return self.prepare(torch.from_numpy(self.values[self._first(part, count)]))

    def images(self, part: str, count: int) -> Tensor:
        """Return the images of the sets of :meth:`some`: (n, C, H, W) in [-1, 1]."""
        return to_signed(torch.from_numpy(self.fits.pixels[self._first(part, count)]))

    def _first(self, part: str, count: int) -> np.ndarray:
        return self._by_content[part][:count]

    @cached_property
    def _by_content(self) -> dict[str, np.ndarray]:
        parts = {"train": self.train, "held_out": self.held_out}
        return {name: np.array(sorted(p, key=self.fits.digests.__getitem__), np.int64) for name, p in parts.items()}


def _encoded(fits: GaussianSets, config: GaussianData) -> np.ndarray:
    """(N, width, count): all sets ordered and encoded, from the array cache."""
    form = Form(config.form, config.channels)
    key = hashlib.sha256(json.dumps([1, fits.identity, config.form, config.order]).encode()).hexdigest()[:32]

    def make(writer: Writer) -> dict[str, Any]:
        for start in range(0, len(fits.sets), CHUNK):
            sets = torch.from_numpy(np.array(fits.sets[start : start + CHUNK]))
            if config.order == "morton":
                index = morton(sets[..., :2])
                sets = sets.gather(1, index[..., None].expand_as(sets))
            writer.append("values", form.encode(sets).transpose(1, 2).contiguous().numpy().astype("<f4"))
        return {}

    return cached("gaussian_codes", key, make).arrays["values"]


def _normalisation(values: np.ndarray, train: np.ndarray, kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and standard deviation over the training images, in float64, in two passes.

    Returns:
        (mean, std, mean of each place): the mean is (width, 1) for ``parameter`` and (width, N) for ``slot``. std (width, 1) is
        the deviation from it, pooled over the places, so that the noise of a place that never changes is not amplified.
    """
    width, count = values.shape[1:]
    total, squares = np.zeros((width, count)), np.zeros((width, 1))
    for start in range(0, len(train), CHUNK):
        total += values[train[start : start + CHUNK]].astype(np.float64).sum(0)
    slots = mean = total / len(train)
    if kind == "parameter":
        mean = mean.mean(1, keepdims=True)
    for start in range(0, len(train), CHUNK):
        part = values[train[start : start + CHUNK]].astype(np.float64)
        squares += np.square(part - mean).sum((0, 2))[:, None]
    std = np.sqrt(squares / (len(train) * count))
    found = (mean, np.maximum(std, 1e-6), slots)
    a, b, c = (torch.from_numpy(part).float() for part in found)
    return a, b, c

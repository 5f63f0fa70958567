"""A data set of fitted images with the quality of each fit."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class GaussianSets:
    """Every image of a source with its Gaussians.

    Attributes:
        sets: (P, N, 5 + C) float32, as :mod:`trainwright.data.gaussians.render` defines; may be memory-mapped.
        pixels: (P, H, W, C) uint8, the images that were fitted.
        digests: SHA-256 of each image's pixels.
        names: source of each image.
        skipped: (name, reason) of what was skipped.
        psnr: (P,) dB of each fit, rendered exactly.
        ssim: (P,) structural similarity of each fit.
        steps: (P,) optimizer steps of each fit.
    """

    sets: np.ndarray
    pixels: np.ndarray
    digests: list[str]
    names: list[str]
    skipped: list[tuple[str, str]]
    psnr: np.ndarray
    ssim: np.ndarray
    steps: np.ndarray

    @cached_property
    def identity(self) -> str:
        """Hash over the images and their Gaussians: two runs with the same identity saw the same data."""
        whole = hashlib.sha256("".join(self.digests).encode())
        whole.update(np.ascontiguousarray(self.sets).data)
        return whole.hexdigest()[:16]

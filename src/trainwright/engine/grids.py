"""Sample grids as PNG files; small images are enlarged by a whole factor so that they can be seen."""

import math
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from trainwright.data.images import to_bytes
from trainwright.files import atomic_path

MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def to_image(image: np.ndarray) -> Image.Image:
    """Return an (H, W, C) uint8 array as a PIL image of the mode for C channels."""
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image, MODES[image.shape[-1]])


def tile(images: Tensor, columns: int | None = None) -> Image.Image:
    """Return (B, C, H, W) images in [-1, 1] as one image with ``columns`` per row (default: about square)."""
    pixels = to_bytes(images)
    count, height, width, channels = pixels.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    canvas = np.full((rows * height, columns * width, channels), 255, dtype=np.uint8)
    for i, tile_ in enumerate(pixels):
        top, left = (i // columns) * height, (i % columns) * width
        canvas[top : top + height, left : left + width] = tile_
    factor = max(1, 64 // height)
    image = to_image(canvas)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def save_grid(images: Tensor, file: Path, columns: int | None = None) -> None:
    """Write :func:`tile` as PNG, all or nothing."""
    save_png(tile(images, columns), file)


def save_png(image: Image.Image, file: Path) -> None:
    """Write a PNG, all or nothing."""
    with atomic_path(file) as temporary:
        image.save(temporary, format="PNG")

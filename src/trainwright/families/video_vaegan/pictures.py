"""Clips as one moving picture file."""

import io
import math

import numpy as np
from PIL import Image
from torch import Tensor

from trainwright.data.images import to_bytes

PAUSE = 200  # milliseconds a frame
GROW = 64  # smaller frames are enlarged to at least this side


def gif(clips: Tensor) -> bytes:
    """(n, T, 3, S, S) in [-1, 1] -> a GIF that shows all clips in a grid."""
    count, frames, side = clips.shape[0], clips.shape[1], clips.shape[-1]
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    larger = max(1, GROW // side)
    pages = []
    for t in range(frames):
        page = np.full((rows * (side + 1) - 1, columns * (side + 1) - 1, 3), 255, np.uint8)
        for i, picture in enumerate(to_bytes(clips[:, t])):
            top, left = (i // columns) * (side + 1), (i % columns) * (side + 1)
            page[top : top + side, left : left + side] = picture
        image = Image.fromarray(page)
        pages.append(image.resize((image.width * larger, image.height * larger), Image.Resampling.NEAREST))
    out = io.BytesIO()
    pages[0].save(
        out, "GIF", save_all=True, append_images=pages[1:], duration=[PAUSE] * (frames - 1) + [3 * PAUSE], loop=0
    )
    return out.getvalue()

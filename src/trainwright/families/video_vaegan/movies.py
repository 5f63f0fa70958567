"""Clips as one animated image file."""

import io
import math
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from trainwright.data.images import to_bytes

PAUSE = 200  # milliseconds for each frame
GROW = 64  # smaller frames are enlarged to at least this side


def pages(clips: Tensor) -> list[np.ndarray]:
    """Arrange clips (n, T, 3, S, S) in [-1, 1] in a grid with white lines: T images (H, W, 3)."""
    count, frames, side = clips.shape[0], clips.shape[1], clips.shape[-1]
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    larger = max(1, GROW // side)
    found = []
    for t in range(frames):
        page = np.full((rows * (side + 1) - 1, columns * (side + 1) - 1, 3), 255, np.uint8)
        for i, image in enumerate(to_bytes(clips[:, t])):
            top, left = (i // columns) * (side + 1), (i % columns) * (side + 1)
            page[top : top + side, left : left + side] = image
        found.append(page.repeat(larger, 0).repeat(larger, 1))
    return found


def gif(clips: Tensor) -> bytes:
    """Encode clips (n, T, 3, S, S) as a GIF that loops; its last frame stays a little longer."""
    first, *others = map(Image.fromarray, pages(clips))
    out = io.BytesIO()
    duration = [PAUSE] * len(others) + [3 * PAUSE]
    first.save(out, "GIF", save_all=True, append_images=others, duration=duration, loop=0)
    return out.getvalue()


def mp4(clips: Tensor) -> bytes:
    """Encode clips (n, T, 3, S, S) as an MP4 (H.264 where FFmpeg has it, else MPEG-4).

    A side of odd length gets one more white line.
    """
    import av

    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    out = io.BytesIO()
    with av.open(out, "w", "mp4") as container:
        shown = pages(clips)
        height, width = shown[0].shape[:2]
        odd = ((0, height % 2), (0, width % 2), (0, 0))
        stream: Any = container.add_stream(
            codec, rate=1000 // PAUSE, options={"crf": "12"} if codec == "libx264" else {}
        )
        stream.height, stream.width, stream.pix_fmt = height + height % 2, width + width % 2, "yuv420p"
        for page in shown:
            frame = av.VideoFrame.from_ndarray(np.pad(page, odd, constant_values=255), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()

"""One video -> square frames, by PyAV."""

import contextlib
import errno
from collections.abc import Iterator
from typing import Any

import numpy as np

from trainwright.data.video.sources import SQUARE_FRAMES, Video, square

NO_VIDEO = {"tty": "a text", "image2": "an image"}  # files that FFmpeg would accept as a video
WHOLE = 0.9  # of the frames that a file declares: some declare a few too many


def length(video: Video) -> int:
    """Return the approximate number of frames of a video, for progress; 1 if unknown."""
    if video.path is None:
        return SQUARE_FRAMES
    import av

    try:
        with av.open(str(video.path)) as container:
            stream = container.streams.video[0]
            rate = stream.average_rate or stream.guessed_rate or 25
            seconds = (container.duration or 0) / 1_000_000
            return int(stream.frames or seconds * float(rate)) or 1
    except (av.error.FFmpegError, OSError, IndexError, ValueError):
        return 1


def decode(video: Video, size: int, fit: str) -> Iterator[np.ndarray]:
    """(size, size, 3) uint8 frames in order.

    Raises:
        ValueError: it is not a video, or is truncated; the text follows the file's name in a message.
    """
    if video.path is None:
        yield from square(size)
        return
    import av
    import cv2

    seen, last = 0, 0.0
    try:
        with av.open(str(video.path)) as container:
            if not container.streams.video:
                raise ValueError("holds no images")
            stream = container.streams.video[0]
            if container.format.name in NO_VIDEO or container.format.name.endswith("_pipe"):
                raise ValueError(f"is not a video but {NO_VIDEO.get(container.format.name, 'an image')}")
            stream.thread_type = "AUTO"
            frames, seconds = int(stream.frames), _seconds(container, stream)
            for frame in container.decode(stream):
                image = frame.to_ndarray(format="rgb24")
                if frame.rotation:
                    image = np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90) % 4), np.uint8)
                last = frame.time or last
                if fit == "crop":
                    height, width = image.shape[:2]
                    side = min(height, width)
                    top, left = (height - side) // 2, (width - side) // 2
                    image = image[top : top + side, left : left + side]
                smaller = image.shape[0] > size
                how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
                yield cv2.resize(image, (size, size), interpolation=how)
                seen += 1
    except (av.error.FFmpegError, OSError) as error:
        if getattr(error, "errno", None) in (errno.EACCES, errno.ENOENT):
            raise ValueError(f"cannot be read ({error.strerror})") from None
        broken = "breaks off: its data are damaged" if seen else "is not a video that can be read"
        raise ValueError(broken) from None
    if not seen:
        raise ValueError("holds no frames")
    if seen < WHOLE * frames - 2:
        raise ValueError(f"breaks off: {seen} of its {frames} frames can be read")
    if not frames and last < WHOLE * seconds - 1.0:
        raise ValueError(f"breaks off after {last:.1f} of its {seconds:.1f} seconds")


def _seconds(container: Any, stream: Any) -> float:
    """Return the duration of a video's images by its own metadata, 0 if unknown; its sound may be longer."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    reported = str(stream.metadata.get("DURATION", ""))  # Matroska: 00:00:04.000000000
    if reported.count(":") == 2:
        with contextlib.suppress(ValueError):
            hours, minutes, rest = (float(part) for part in reported.split(":"))
            return 3600 * hours + 60 * minutes + rest
    return (container.duration or 0) / 1_000_000 if len(container.streams) == 1 else 0.0

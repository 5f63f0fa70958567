"""One video -> square frames, by PyAV."""

import errno
from collections.abc import Iterator

import numpy as np

from trainwright.data.video.sources import SQUARE_FRAMES, Video, square


def length(video: Video) -> int:
    """About how many frames a video has, for progress; 1 if it does not say."""
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
        ValueError: it is no video, or breaks off with an error; the text goes after its name.
    """
    if video.path is None:
        yield from square(size)
        return
    import av
    import cv2

    seen = False
    try:
        with av.open(str(video.path)) as container:
            if not container.streams.video:
                raise ValueError("holds no pictures")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                picture = frame.to_ndarray(format="rgb24")
                if fit == "crop":
                    height, width = picture.shape[:2]
                    side = min(height, width)
                    top, left = (height - side) // 2, (width - side) // 2
                    picture = picture[top : top + side, left : left + side]
                smaller = picture.shape[0] > size
                how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
                yield cv2.resize(picture, (size, size), interpolation=how)
                seen = True
    except (av.error.FFmpegError, OSError) as error:
        if getattr(error, "errno", None) in (errno.EACCES, errno.ENOENT):
            raise ValueError(f"cannot be read ({error.strerror})") from None
        broken = "breaks off: its data are damaged" if seen else "is not a video that can be read"
        raise ValueError(broken) from None
    if not seen:
        raise ValueError("holds no frames")

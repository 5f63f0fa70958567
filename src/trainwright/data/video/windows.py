"""Split of windows into training and held-out ones, so that no frame is in both."""

import hashlib

import numpy as np

from trainwright.data.video.config import VideoData
from trainwright.data.video.store import Footage

MANY = 4  # blocks of one video, so that one of them can be spared


def split_windows(footage: Footage, config: VideoData) -> tuple[np.ndarray, np.ndarray]:
    """Return the first frames of the training and of the held-out windows, both sorted, int64.

    Each shot is cut into blocks of ``block`` windows. Of each video of at least four blocks, the blocks whose frames have the smallest
    hashes are held out. Their number is the one nearest to the requested share, and at least one. All shorter videos are treated
    together in the same way. Windows that reach from one kind of block into the other are in neither.
    """
    length = config.block + config.span - 1
    blocks: dict[int, list[tuple[str, int, int]]] = {}
    for (first, end), video in zip(footage.shots, footage.video, strict=True):
        count = max(1, (end - first) // length)
        borders = np.linspace(first, end, count + 1).astype(int)
        for a, b in zip(borders, borders[1:], strict=False):
            if b - a >= config.span:  # it holds a window
                digest = hashlib.sha256(footage.frames[a:b].tobytes()).hexdigest()
                blocks.setdefault(video, []).append((digest, int(a), int(b)))
    long = [found for found in blocks.values() if len(found) >= MANY]
    short = [block for found in blocks.values() if len(found) < MANY for block in found]
    held = np.zeros(len(footage.frames), bool)
    for found in (*long, short):
        wanted = round(config.held_out * len(found))
        if config.held_out and (len(found) >= MANY or (not long and len(found) > 1)):
            wanted = max(1, wanted)
        for _, a, b in sorted(found)[:wanted]:
            held[a:b] = True
    train, out = [], []
    for first, end in footage.shots:
        for start in range(first, end - config.span + 1):
            inside = held[start : start + config.span]
            if inside.all():
                out.append(start)
            elif not inside.any():
                train.append(start)
    return np.array(train, np.int64), np.array(out, np.int64)

"""Comparison of two consecutive frames: detection of cuts, and optical flow."""

from functools import cache
from typing import Any

import numpy as np

LEAST_CHANGE = 4.0  # mean difference of two frames with a cut between them, in levels of 255; ours
LEAST_SIDE = 64  # DIS works on patches of 8 pixels over several scales; smaller frames are enlarged for it


def colours(frame: np.ndarray) -> np.ndarray:
    """(512,) share of the pixels in each of 8 x 8 x 8 boxes of colour."""
    index = (frame >> 5).astype(np.int32)
    flat = (index[..., 0] * 8 + index[..., 1]) * 8 + index[..., 2]
    return np.bincount(flat.ravel(), minlength=512) / flat.size


def is_cut(before: np.ndarray, after: np.ndarray, threshold: float | None) -> bool:
    """Return True if the share of pixels that changed colour, at any place, exceeds the threshold.

    The share is half the distance of the two frames' colour histograms. A plain image may cross the border of a histogram box by a
    single level, which is not a cut.
    """
    if threshold is None or float(np.abs(colours(after) - colours(before)).sum()) / 2 <= threshold:
        return False
    return float(np.abs(after.astype(np.int16) - before).mean()) > LEAST_CHANGE


def flow(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Optical flow by DIS (Kroeger et al. 2016): (S, S, 3) uint8 frames -> (S, S, 2) float16, to the right and down, in pixels."""
    import cv2

    side = before.shape[0]
    grey = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in (before, after)]
    if side < LEAST_SIDE:
        grey = [cv2.resize(g, (LEAST_SIDE, LEAST_SIDE), interpolation=cv2.INTER_CUBIC) for g in grey]
    found = _dis().calc(grey[0], grey[1], None)
    if side < LEAST_SIDE:
        found = cv2.resize(found, (side, side), interpolation=cv2.INTER_AREA) * (side / LEAST_SIDE)
    return np.ascontiguousarray(found, np.float16)


@cache
def _dis() -> Any:
    import cv2

    library: Any = cv2  # its types do not know this class
    library.setNumThreads(1)  # so that a flow is the same on every machine
    return library.DISOpticalFlow_create(library.DISOPTICAL_FLOW_PRESET_MEDIUM)

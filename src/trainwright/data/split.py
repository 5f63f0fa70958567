"""Split into training and held-out images by each image's own content, so that copies are on one side."""

import numpy as np


def split(digests: list[str], held_out: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the training and of the held-out images.

    Args:
        digests: hex SHA-256 of each image's pixels; equal images share one.
        held_out: requested share in [0, 1).

    Returns:
        (train, held_out), int64 and sorted. An image's side does not change when others come or go. If the hash puts
        everything on one side although a share was asked for, one content moves over, if there are two.
    """
    position = np.array([int(digest[:8], 16) / 2**32 for digest in digests])
    held = position < held_out
    if held_out > 0 and len(set(digests)) > 1:
        if not held.any():
            held = position == position.min()
        elif held.all():
            held = position != position.max()
    return np.flatnonzero(~held), np.flatnonzero(held)

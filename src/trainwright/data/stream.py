"""Batches addressed by the number of samples before them, in an endless sequence of shuffled epochs that is never stored."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

import numpy as np


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch, 0x0DDE]).permutation(count)


def batch_indices(seed: int, start: int, size: int, count: int) -> np.ndarray:
    """Return the positions of a batch among ``count`` samples when ``start`` samples were used before it.

    Every sample comes once in each stretch of ``count``; batches run across the border of epochs, so that none is dropped.

    Returns:
        int64 array of shape (size,).
    """
    positions = np.arange(start, start + size)
    epochs, offsets = positions // count, positions % count
    out = np.empty(size, dtype=np.int64)
    for epoch in np.unique(epochs):
        mask = epochs == epoch
        out[mask] = _order(seed, int(epoch), count)[offsets[mask]]
    return out


class Prefetcher:
    """Fetch the next batch in a thread while the current one is trained on.

    ``fetch(start, size)`` must be a pure function; the prefetcher only guesses what will be asked for next.
    """

    def __init__(self, fetch: Callable[[int, int], np.ndarray]) -> None:
        self._fetch = fetch
        self._pool = ThreadPoolExecutor(1)
        self._next: tuple[tuple[int, int], Future[np.ndarray]] | None = None

    def get(self, start: int, size: int) -> np.ndarray:
        """Return the batch at ``start`` and start to fetch the one after it."""
        if self._next is not None and self._next[0] == (start, size):
            batch = self._next[1].result()
        else:
            batch = self._fetch(start, size)
        following = (start + size, size)
        self._next = (following, self._pool.submit(self._fetch, *following))
        return batch

    def close(self) -> None:
        """Stop the thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)

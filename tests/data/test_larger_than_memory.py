"""Training data stay on the disk: batches of a large array add no private memory."""

from pathlib import Path

import numpy as np

from trainwright.data.cache import ImageSet
from trainwright.data.config import ImageData
from trainwright.data.images import Images


def private_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def test_a_large_set_is_read_through_a_memory_map(tmp_path):
    count, side = 20_000, 64
    pixels = np.memmap(tmp_path / "pixels.bin", np.uint8, "w+", shape=(count, side, side, 3))  # 246 MB, sparse
    pixels[::1000] = 7
    pixels.flush()
    pixels = np.memmap(tmp_path / "pixels.bin", np.uint8, "r", shape=(count, side, side, 3))
    images = ImageSet(pixels, [f"{i:064x}" for i in range(count)], ["x"] * count, [], "id")
    data = Images(ImageData(size=64), images, np.arange(count), np.arange(0))
    data.fetch(0, 0, 64)
    before = private_bytes()
    for start in range(0, count, 500):
        assert data.fetch(0, start, 500).shape == (500, side, side, 3)
    assert private_bytes() - before < 50e6

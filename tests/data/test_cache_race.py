"""Several workers that meet new images at once: one decodes, all read the same."""

import multiprocessing

from trainwright import catalog as registry


def _open(source: str, cache: str) -> str:
    import os

    os.environ["TRAINWRIGHT_CACHE"] = cache
    family, config = registry.load("wgan_gp/tiny", (f"data={source}", "size=64"))
    return family.load(config).open_data(config).identity


def test_workers_that_open_new_pictures_together_read_the_same(sprites, tmp_path):
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        for turn in range(6):
            words = [(str(sprites), str(tmp_path / f"cache{turn}"))] * 4
            assert len(set(pool.starmap(_open, words, chunksize=1))) == 1

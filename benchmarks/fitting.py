"""Speed and quality of fitting Gaussians to images: the real command, and its steps compared with a plain loop.

``python -m benchmarks.fitting`` fits 96 photo patches and 96 sprites at 64 px with 512 Gaussians, in an empty cache, with one process
per core. Then it times alternating blocks of steps of both optimisations on one thread.
"""

import os
import statistics
import tempfile
import time

import numpy as np

from benchmarks.results_io import row, write

COMMAND = "python -m benchmarks.fitting"
IMAGE_SETTINGS, BLOCK, ROUNDS = 96, 15, 5


def whole(source: str) -> list[dict]:
    """Time the real command: decode, fit, store."""
    from PIL import Image

    from trainwright.data.cache import load as load_images
    from trainwright.data.gaussians.config import GaussianData
    from trainwright.data.gaussians.store import load

    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRAINWRIGHT_CACHE"] = f"{folder}/cache"
        pixels = load_images(GaussianData(source=source)).pixels
        os.mkdir(f"{folder}/images")
        for i in np.linspace(0, len(pixels) - 1, IMAGE_SETTINGS).astype(int):
            Image.fromarray(np.array(pixels[i])).save(f"{folder}/images/{i:05d}.png")
        begin = time.perf_counter()
        found = load(GaussianData(source=f"{folder}/images"))
        minutes = (time.perf_counter() - begin) / 60
        del os.environ["TRAINWRIGHT_CACHE"]
    speed = len(found.names) / minutes
    spread = float(np.subtract(*np.percentile(found.psnr, [75, 25])))
    return [
        row(f"{source}: images a minute, one process a core", speed, "", None, "higher", IMAGE_SETTINGS, None),
        row(
            f"{source}: minutes for 1,000 images at that speed",
            1000 / speed,
            "min",
            60,
            "lower",
            IMAGE_SETTINGS,
            None,
        ),
        row(
            f"{source}: PSNR of the fits, median",
            float(np.median(found.psnr)),
            "dB",
            32.0,
            "higher",
            IMAGE_SETTINGS,
            spread,
        ),
        row(
            f"{source}: SSIM of the fits, median",
            float(np.median(found.ssim)),
            "",
            None,
            "higher",
            IMAGE_SETTINGS,
            None,
        ),
    ]


def beside_plain() -> list[dict]:
    """Time alternating blocks of steps from the same initial values, on four photo patches and one thread."""
    import torch

    from benchmarks import plain_fit
    from trainwright.data.cache import load as load_images
    from trainwright.data.gaussians.config import Fit, GaussianData
    from trainwright.data.gaussians.fit import CHECK, NOISE, Work
    from trainwright.data.gaussians.render import Canvas

    torch.set_num_threads(1)
    pixels = load_images(GaussianData(source="photos")).pixels[[10, 300, 700, 1000]]
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    names = ["a", "b", "c", "d"]
    ratios, errors = [], []
    for turn in range(ROUNDS + 1):
        work = Work(images, Fit(progressive=False), Canvas(64, 64), names)
        start = work.values.clone()
        begin = time.perf_counter()
        ours = []
        for step in range(BLOCK):
            if step % CHECK == 0:
                work.measure()
            ours.append(float(work.step().mean()))
        middle = time.perf_counter()
        _, plain = plain_fit.fit(images, start, work.rates, BLOCK, NOISE)
        end = time.perf_counter()
        print(f"round {turn}: ours {middle - begin:.2f} s, plain {end - middle:.2f} s", flush=True)
        if turn:  # the first round warms both up
            ratios.append((end - middle) / (middle - begin))
            errors.append(abs(ours[-1] / plain[-1] - 1))
    return [
        row("steps compared with the plain optimisation, one thread", statistics.median(ratios), "x", 5.0, "higher", ROUNDS,
            max(ratios) - min(ratios)),
        row(f"relative difference of the error after {BLOCK} steps", statistics.median(errors), "", 0.05, "lower", ROUNDS, None),
    ]  # fmt: skip


def main() -> None:
    """Measure and write ``results/fitting.json``."""
    rows = [*beside_plain(), *whole("photos"), *whole("sprites")]
    print(write("fitting", COMMAND, rows))


if __name__ == "__main__":
    main()

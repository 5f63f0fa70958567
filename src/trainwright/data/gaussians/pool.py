"""Fitting many groups of images: on a GPU in this process, on a CPU in one single-threaded process per core.

Two processes of one thread do nearly twice the work of one; one process of two threads does not.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import torch

from trainwright.data.gaussians.config import Fit, GaussianData
from trainwright.data.gaussians.fit import Fitted, fit
from trainwright.errors import UserError

Job = tuple[np.ndarray, list[str]]
Plain = tuple[np.ndarray, float, float, int]  # a fit without tensors


def fit_groups(jobs: Iterable[Job], config: GaussianData) -> Iterator[tuple[list[str], list[Fitted]]]:
    """Fit each job and yield (its digests, its fits) in order.

    Args:
        jobs: (images (B, H, W, C) uint8, their digests).
        config: ``workers`` processes, by default one per core; 1 fits in this process.

    Raises:
        UserError: a worker was killed, for example because memory ran out.
    """
    if torch.cuda.is_available():
        for pixels, digests in jobs:
            yield digests, fit_pixels(pixels, config.fitting, digests, "cuda")
        return
    workers = config.workers or os.cpu_count() or 1
    if workers == 1:
        for pixels, digests in jobs:
            yield digests, fit_pixels(pixels, config.fitting, digests)
        return
    yield from _in_processes(jobs, config.fitting, workers)


def fit_pixels(pixels: np.ndarray, settings: Fit, digests: list[str], device: str = "cpu") -> list[Fitted]:
    """Fit (B, H, W, C) bytes; each image's random places come from its own digest."""
    images = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 255
    return fit(images, settings, digests)


def _in_processes(jobs: Iterable[Job], settings: Fit, workers: int) -> Iterator[tuple[list[str], list[Fitted]]]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(os.getpid(),))
    waiting: deque[tuple[list[str], Future[list[Plain]]]] = deque()
    try:
        for pixels, digests in jobs:
            waiting.append((digests, pool.submit(_fit_plainly, pixels, settings, digests)))
            if len(waiting) >= 2 * workers:
                first, future = waiting.popleft()
                yield first, _fitted(future.result())
        while waiting:
            first, future = waiting.popleft()
            yield first, _fitted(future.result())
    except BrokenProcessPool:
        raise UserError(
            "a fitting process was killed, perhaps because memory ran out. Run the same command again: it resumes "
            "with the remaining images; data.workers=1 needs less memory."
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _fit_plainly(pixels: np.ndarray, settings: Fit, digests: list[str]) -> list[Plain]:
    """Fit for another process and return arrays.

    Tensors would go through a socket, on which a worker waits forever when its parent is killed.
    """
    return [(one.set.numpy(), one.psnr, one.ssim, one.steps) for one in fit_pixels(pixels, settings, digests)]


def _fitted(plain: list[Plain]) -> list[Fitted]:
    return [Fitted(torch.from_numpy(values), psnr, ssim, steps) for values, psnr, ssim, steps in plain]


def _begin(parent: int) -> None:
    """Set up a worker: one thread, Ctrl-C handled by the parent, and an end when the parent is gone."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)

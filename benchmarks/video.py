"""Time of video training within a step and before the first step.

``python -m benchmarks.video``. Decoding and flow happen once, into the cache, so that no step waits for them.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.results_io import row, write
from trainwright import catalog as registry
from trainwright.data.video.decode import decode
from trainwright.data.video.motion import flow
from trainwright.data.video.sources import videos
from trainwright.engine.display import Silent
from trainwright.engine.session import train
from trainwright.runs.folder import Run, read_lines

COMMAND = "python -m benchmarks.video"
TITLE, STEPS, ROUNDS = "video_vaegan/clips", 120, 20


def timed(action: Callable[[], object]) -> list[float]:
    """Return the milliseconds of each call."""
    found = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        action()
        found.append(1000 * (time.perf_counter() - begin))
    return found


def main() -> None:
    """Measure and write ``results/video.json``."""
    family, config = registry.load(TITLE, (f"steps={STEPS}", "log_every=10", "threads=2", "tracker=none"))
    torch.set_num_threads(2)
    data, batch = family.load(config).open_data(config), config.train.batch_size
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "run")
        train(family, config, run, Silent())
        speeds = [r["speed/samples_per_second"] for r in read_lines(run.metrics) if "speed/samples_per_second" in r]
    begin, frames = time.perf_counter(), []
    for video in videos(config.data.source):
        frames += list(decode(video, config.data.size, config.data.fit))
    decoding = 1000 * (time.perf_counter() - begin) / len(frames)
    flows = timed(lambda: flow(frames[0], frames[config.data.skip]))
    fetched = timed(lambda: data.prepare(torch.from_numpy(data.fetch(0, 0, batch))))
    step = [1000 * batch / s for s in speeds[1:]]
    each = config.data.frames * decoding + (config.data.frames - 1) * statistics.median(flows)
    rows = [
        row("windows a second in training", statistics.median(speeds[1:]), "", None, "higher", len(speeds) - 1, spread(speeds[1:])),
        row(f"a step of {batch} windows", statistics.median(step), "ms", None, "lower", len(step), spread(step)),
        row(f"fetching {batch} windows from the cache", statistics.median(fetched), "ms", None, "lower", ROUNDS, spread(fetched)),
        row("decoding a frame, once", decoding, "ms", None, "lower", len(frames), None),
        row("flow of a pair, once", statistics.median(flows), "ms", None, "lower", ROUNDS, spread(flows)),
        row(f"decoding and flow of {batch} windows, were they in the step", batch * each, "ms", None, "lower", 1, None),
    ]  # fmt: skip
    print(write("video", COMMAND, rows))


def spread(values: list[float]) -> float:
    """Return the range."""
    return max(values) - min(values)


if __name__ == "__main__":
    main()

"""What watching costs at the default cadence: the share that the loop itself measures, on real trainings.

``python -m benchmarks.overhead``. Watching is signals, trackers, grids and held-out measurements; checkpoints are counted apart.
"""

import tempfile
from pathlib import Path

from benchmarks.results_io import row, write
from trainwright import registry
from trainwright.runs.folder import Run
from trainwright.train.session import train
from trainwright.train.status import Silent

COMMAND = "python -m benchmarks.overhead"
RUNS = {"wgan_gp/tiny": 2000, "wgan_gp/small": 500}  # one whole cycle of the slowest cadence


def main() -> None:
    """Trains each recipe for its steps and writes ``results/overhead.json``."""
    rows = []
    for title, steps in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            family, config = registry.load(title, (f"steps={steps}", "threads=1"))
            run = Run(Path(folder) / "run")
            train(family, config, run, Silent())
            share = 100 * run.read()["watch_share"]
        rows.append(row(f"{title}: watching, {steps} steps", share, "% of training time", 1.0, "lower", 1, None))
    print(write("overhead", COMMAND, rows))


if __name__ == "__main__":
    main()

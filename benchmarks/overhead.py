"""Cost of monitoring at the default cadence: the share of time that the trainer itself measures, on real trainings.

``python -m benchmarks.overhead``. Monitoring is signals, trackers, grids and held-out measurements; checkpoints are counted separately.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.results_io import kept, row, write
from trainwright import catalog as registry
from trainwright.engine.display import Silent
from trainwright.engine.session import train
from trainwright.runs.folder import Run

COMMAND = "python -m benchmarks.overhead"
RUNS = {  # one whole cycle of the slowest cadence
    "wgan_gp/tiny": 2000, "wgan_gp/small": 500, "gaussian_vae/conv1d_512d_beta0.1": 500, "gaussian_vae/sound": 1000,
    "sequence_vae/uniform": 640, "sequence_vae/sokoban": 500, "latent_diffusion/autoencoder": 1000, "latent_diffusion/small": 1000,
    "video_vaegan/clips": 400,
}  # fmt: skip
SHORT_STAGE = {"latent_diffusion/small": ("autoencoder_steps=300",)}  # latents of any quality will do


def main() -> None:
    """Train each recipe for its steps and write ``results/overhead.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="a family; the others' rows stay as they were")
    only = parser.parse_args().only
    rows = kept("overhead", only)
    for title, steps in RUNS.items():
        if only is not None and not title.startswith(only):
            continue
        with tempfile.TemporaryDirectory() as folder:
            family, config = registry.load(title, (f"steps={steps}", "threads=1", *SHORT_STAGE.get(title, ())))
            run = Run(Path(folder) / "run")
            train(family, config, run, Silent())
            share = 100 * run.read()["monitor_share"]
        rows.append(row(f"{title}: watching, {steps} steps", share, "% of training time", 1.0, "lower", 1, None))
        write("overhead", COMMAND, rows)
    print(write("overhead", COMMAND, rows))


if __name__ == "__main__":
    main()

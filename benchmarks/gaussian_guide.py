"""The seven configurations of the Gaussian VAE guide, run on real images; its hand-made table is generated here.

``python -m benchmarks.gaussian_guide --data sprites`` (or ``photos``) trains each recipe with its own settings on one thread. Runs are
kept in ``runs/guide-DATA`` (a second call resumes), and the result is ``results/guide_DATA.json``.
"""

import argparse
from pathlib import Path

from benchmarks.results_io import row, write
from trainwright import catalog as registry
from trainwright.engine.display import Silent
from trainwright.engine.session import train
from trainwright.report.run_table import rows_of
from trainwright.runs.folder import Run, read_lines

RECIPES = (
    "conv1d_base", "conv1d_beta0.5", "conv1d_512d", "conv1d_512d_beta0.5", "conv1d_512d_beta0.1", "conv1d_512d_beta0",
    "resnet_conv1d_512d",
)  # fmt: skip
FIGURES = {
    "kl/nats_heldout": ("nats", ""), "latent/active_units": ("dimensions", ""), "validation/reconstruction": ("", "lower"),
    "r2_beyond_mean/xy": ("", "higher"), "r2_beyond_mean/scale": ("", "higher"),
    "r2_beyond_mean/rot": ("", "higher"), "r2_beyond_mean/feat": ("", "higher"), "rendered/psnr": ("dB", "higher"),
}  # fmt: skip


def main() -> None:
    """Train missing runs and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=["sprites", "photos"], default="sprites")
    parser.add_argument("--only", default="", help="recipes whose name begins so, such as conv1d")
    arguments = parser.parse_args()
    data, recipes, runs = arguments.data, [name for name in RECIPES if name.startswith(arguments.only)], []
    for name in recipes:
        family, config = registry.load(f"gaussian_vae/{name}", (f"data={data}", "threads=1", "tracker=none"))
        run = Run(Path("runs") / f"guide-{data}" / name)
        train(family, config, run, Silent())
        print(name, "done", flush=True)
        runs.append(run)
    rows = []
    for name, run in zip(recipes, runs, strict=True):
        newest = {k: v for line in read_lines(run.metrics) for k, v in line.items()}
        rows += [
            row(f"{name}: {signal}", newest[signal], unit, None, better, 1, None)
            for signal, (unit, better) in FIGURES.items()
        ]
    command = f"python -m benchmarks.gaussian_guide --data {data}" + (
        f" --only {arguments.only}" if arguments.only else ""
    )
    print(write(f"guide_{data}", command, rows, table=rows_of(runs)))


if __name__ == "__main__":
    main()

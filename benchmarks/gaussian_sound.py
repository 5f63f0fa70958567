"""The sound Gaussian VAE compared with the Gaussian VAE guide on held-out images, and its samples with real ones.

``python -m benchmarks.gaussian_sound`` after ``python -m benchmarks.gaussian_guide`` for both data sets, whose runs with β = 0 (that
guide's best case) it reads. It trains ``gaussian_vae/sound`` with its own latent size of 2048 and with that guide's 512, and
``gaussian_vae/sound_image`` on sprites, one thread each, in ``runs/sound-DATA``.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.results_io import kept, row, write
from trainwright import catalog as registry
from trainwright.engine.display import Silent
from trainwright.engine.session import train
from trainwright.report.evaluation import evaluate_run
from trainwright.runs.folder import Run, read_lines

COMMAND = "python -m benchmarks.gaussian_sound"
DATA = ("photos", "sprites")
LATENTS = (2048, 512)
WITH_PICTURE = ("sprites",)  # the data whose hard edges need it
SAMPLES = 500


def sound(data: str, latent: int, recipe: str = "sound") -> Run:
    """Return the trained run; a second call finds it."""
    words = (f"data={data}", f"latent_dim={latent}", "threads=1", "tracker=none")
    family, config = registry.load(f"gaussian_vae/{recipe}", words)
    run = Run(Path("runs") / f"sound-{data}" / (str(latent) if recipe == "sound" else f"{latent}-{recipe}"))
    train(family, config, run, Silent())
    return run


def figures(title: str, run: Run, targets: bool) -> list[dict[str, Any]]:
    """Return reconstructions of all held-out images, and samples, of the best checkpoint."""
    family = registry.family("gaussian_vae")
    found = {r["metric"]: r for r in evaluate_run(family, run, SAMPLES, 0, averaged=True, best=True)["rows"]}
    wanted = {"r2_beyond_mean/rot": 0.5, "r2_beyond_mean/feat": 0.8, "rendered/psnr": 22.0} if targets else {}
    names = {
        "r2_beyond_mean/xy": "places, share explained", "r2_beyond_mean/scale": "scales, share explained",
        "r2_beyond_mean/rot": "rotation, share explained", "r2_beyond_mean/feat": "colour, share explained",
        "rendered/psnr": "rendered reconstructions, dB", "rendered/ssim": "rendered reconstructions, SSIM",
        "KID x1000": "samples, KID x1000", "coverage": "samples, coverage", "precision": "samples, precision",
        "nearest_training_ratio": "samples, nearest-training ratio",
    }  # fmt: skip
    return [
        row(
            f"{title}: {label}", found[key]["value"], "", wanted.get(key), found[key]["better"], 1, found[key]["spread"]
        )
        for key, label in names.items()
    ]


def main() -> None:
    """Train missing runs and write ``results/sound.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--train", choices=DATA, help="only train on these data, so that two processes can share the work"
    )
    parser.add_argument("--only", help="only the models whose title begins so; the others' rows stay as they were")
    options = parser.parse_args()
    models: dict[str, Callable[[], Run]] = {}
    for data in DATA:
        guide = Path("runs") / f"guide-{data}" / "conv1d_512d_beta0"
        models[f"{data}: guide, latent 512, β 0"] = partial(Run, guide)
        for latent in LATENTS:
            models[f"{data}: sound, latent {latent}"] = partial(sound, data, latent)
        if data in WITH_PICTURE:
            models[f"{data}: sound_image, latent {LATENTS[0]}"] = partial(sound, data, LATENTS[0], "sound_image")
    models = {title: make for title, make in models.items() if title.startswith(options.only or options.train or "")}
    runs = {title: make() for title, make in models.items()}
    if options.train:
        return
    rows = kept("sound", options.only)
    for title, run in runs.items():
        rows += figures(title, run, targets=f"latent {LATENTS[0]}" in title)
        print(title, read_lines(run.metrics)[-1]["step"], flush=True)
    print(write("sound", COMMAND, rows))


if __name__ == "__main__":
    main()

"""Each part of the video VAE-GAN compared with a plain replacement, on the packaged clips and on the moving square.

``python -m benchmarks.video_parts`` runs the plan ``video_vaegan/parts`` on both (about an hour) in ``runs/video_parts_*`` (a second
call resumes) and writes ``results/video_parts_*.json``.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.results_io import row, write
from benchmarks.study import changes, studied

PLAN = "video_vaegan/parts"
COMMAND = "python -m benchmarks.video_parts"
SHOWN = {"PSNR, dB": "prediction/psnr", "features": "prediction/feature_distance"}


def line(made: dict[str, Any], shown: dict[str, str] = SHOWN) -> dict[str, str]:
    """Return the cells of an experiment: levels, and the difference from its parent over seeds."""
    levels, effects = made.get("levels", {}), made.get("effects", {})
    cells = {"experiment": made["name"], "change": changes(made), "hypothesis": made["outcome"]}
    for name, signal in shown.items():
        cells[name] = f"{levels[signal]:.3g}" if signal in levels else ""
        cells[f"{name.split(',')[0]}, difference"] = effects.get(signal, {}).get("text", "")
    return cells


def main() -> None:
    """Run missing experiments and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=("clips", "square"), help="only there")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    for data in ("clips", "square"):
        if arguments.data in (None, data):
            study = Path(f"runs/video_parts_{data}")
            words = [f"data.source={data}", *(["data.skip=1", "data.flip=0.0"] if data == "square" else [])]
            made = studied(PLAN, study, *words, "--workers", str(arguments.workers))
            copied = made[0]["levels"]
            rows = [
                row(f"{r['name']}: {name}", r["levels"][signal], "", None, "", len(r["runs"]), None)
                for r in made
                for name, signal in SHOWN.items()
                if signal in r.get("levels", {})
            ]
            rows += [
                row(f"copying the last frame: {name}", copied[signal.replace("/", "/copy_")], "", None, "", 1, None)
                for name, signal in SHOWN.items()
            ]
            print(write(f"video_parts_{data}", f"{COMMAND} --data {data}", rows, table=[line(r) for r in made]))


if __name__ == "__main__":
    main()

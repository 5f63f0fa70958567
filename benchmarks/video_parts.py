"""Each part of the video VAE-GAN against the plainest thing in its place, on the clips that come along and on the moving square.

``python -m benchmarks.video_parts`` runs the plan ``video_vaegan/parts`` on both (about an hour), leaves the studies in
``runs/video_parts_*`` (a second call goes on with them) and writes ``results/video_parts_*.json``.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.results_io import row, write

PLAN = "video_vaegan/parts"
COMMAND = "python -m benchmarks.video_parts"
SHOWN = {"PSNR, dB": "prediction/psnr", "features": "prediction/feature_distance"}


def line(made: dict[str, Any], shown: dict[str, str] = SHOWN) -> dict[str, str]:
    """Cells of an experiment: levels, and the difference from its parent over seeds."""
    levels, effects = made.get("levels", {}), made.get("effects", {})
    cells = {"experiment": made["name"], "change": changes(made), "hypothesis": made["outcome"]}
    for name, signal in shown.items():
        cells[name] = f"{levels[signal]:.3g}" if signal in levels else ""
        cells[f"{name.split(',')[0]}, difference"] = effects.get(signal, {}).get("text", "")
    return cells


def changes(made: dict[str, Any]) -> str:
    """What an experiment changes, in words."""
    return ", ".join(f"{k.rpartition('.')[2]} {_short(v)}" for k, v in made["change"].items()) or "none"


def _short(value: Any) -> str:
    return str(value["kind"]) if isinstance(value, dict) else str(value)


def main() -> None:
    """Runs what is missing and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=("clips", "square"), help="only there")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    for data in ("clips", "square"):
        if arguments.data in (None, data):
            study = Path(f"runs/video_parts_{data}")
            words = [PLAN, f"data.source={data}", *(["data.skip=1", "data.flip=0.0"] if data == "square" else [])]
            words += ["threads=1", "tracker=none", "--workers", str(arguments.workers), "--study", str(study)]
            subprocess.run([sys.executable, "-m", "trainwright", "plan", "run", *words], check=True)
            made = json.loads((study / "table.json").read_text())["rows"]
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

"""The phases of the video VAE-GAN guide as a plan on the packaged clips: expectations compared with results.

``python -m benchmarks.video_phases`` runs the plan ``video_vaegan/phases`` (half an hour of one core) in ``runs/video_phases``
(a second call resumes) and writes ``results/video_phases.json``.
"""

from pathlib import Path

from benchmarks.results_io import row, write
from benchmarks.study import studied
from benchmarks.video_parts import line

PLAN = "video_vaegan/phases"
STUDY = Path("runs/video_phases")
COMMAND = "python -m benchmarks.video_phases"
SHOWN = {
    "PSNR, dB": "prediction/psnr",
    "features": "prediction/feature_distance",
    "Rec": "generator/reconstruction",
    "KL, nats": "kl/nats",
}


def main() -> None:
    """Run missing experiments and write the results."""
    made = studied(PLAN, STUDY)
    rows = [
        row(f"{r['name']}: {name.partition(',')[0]}", r["levels"][signal], "", None, "", len(r["runs"]), None)
        for r in made
        for name, signal in SHOWN.items()
        if signal in r.get("levels", {})
    ]
    print(write("video_phases", COMMAND, rows, table=[line(r, SHOWN) for r in made]))


if __name__ == "__main__":
    main()

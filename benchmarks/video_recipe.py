"""Each part that the recipe of the clips does not use, added to it at full training length.

``python -m benchmarks.video_recipe`` runs the plan ``video_vaegan/parts_added`` (half an hour of one core) in ``runs/video_recipe``. It
evaluates each run on all held-out windows and writes ``results/video_recipe.json``. A second call resumes.
"""

import statistics
from pathlib import Path
from typing import Any

import torch

from benchmarks.results_io import row, write
from benchmarks.study import changes, opened, studied
from trainwright.runs.folder import Run, read_lines
from trainwright.studies.effect import effect

PLAN = "video_vaegan/parts_added"
STUDY = Path("runs/video_recipe")
COMMAND = "python -m benchmarks.video_recipe"
SHOWN = {"PSNR": "prediction/psnr", "features": "prediction/feature_distance"}
SPEED = "windows a second"


def evaluated(run: Run) -> dict[str, Any]:
    """Return the results of ``trainwright evaluate`` for a run, those of copying, and its speed."""
    trained, data = opened(run)
    lines = {line["metric"]: line for line in trained.model.evaluate(data)}
    speeds = [r["speed/samples_per_second"] for r in read_lines(run.metrics) if "speed/samples_per_second" in r]
    found = {name: lines[metric]["value"] for name, metric in SHOWN.items()}
    copied = {f"{name}, copied": lines[metric]["floor"] for name, metric in SHOWN.items()}
    return {"seed": trained.model.config.train.seed, **found, **copied, SPEED: statistics.median(speeds)}


def line(made: dict[str, Any], found: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """Return the cells of an experiment: means over seeds, and differences from its parent."""
    own = found[made["name"]]
    cells = {"experiment": made["name"], "change": changes(made)}
    for name in SHOWN:
        cells[name] = f"{statistics.mean(r[name] for r in own):.4g}"
        values = [{r["seed"]: r[name] for r in rows} for rows in (own, found.get(made.get("parent") or "", []))]
        against = effect(*values)
        cells[f"{name}, difference"] = str(against) if against else ""
        cells[f"{name}, nearer than a copy"] = f"{sum(_nearer(r, name) for r in own)} of {len(own)}"
    cells[SPEED] = f"{statistics.median(r[SPEED] for r in own):.0f}"
    return cells


def _nearer(found: dict[str, Any], name: str) -> bool:
    better = found[name] - found[f"{name}, copied"]
    return bool(better > 0 if name == "PSNR" else better < 0)


def main() -> None:
    """Run missing experiments and write the results."""
    torch.set_num_threads(1)
    made = studied(PLAN, STUDY)
    found = {r["name"]: [evaluated(Run(STUDY / "runs" / name)) for name in r["runs"]] for r in made}
    rows = [
        row(f"{experiment}, seed {r['seed']}: {name}", r[name], "", None, "", 1, None)
        for experiment, runs in found.items()
        for r in runs
        for name in (*SHOWN, SPEED)
    ]
    copied = next(iter(found.values()))[0]
    rows += [row(f"copying the last frame: {name}", copied[f"{name}, copied"], "", None, "", 1, None) for name in SHOWN]
    print(write("video_recipe", COMMAND, rows, table=[line(r, found) for r in made]))


if __name__ == "__main__":
    main()

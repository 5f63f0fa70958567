"""The latent diffusion guide's five experiments at a size for two cores: its expectations compared with the results.

``python -m benchmarks.ldm_stability`` runs the plan in ``runs/ldm_stability`` (a second call resumes). It then runs, once each, the
experiments that the plan's conditions skipped, so that their results are known too, and writes ``results/ldm_stability.json``.
"""

import statistics
from pathlib import Path
from typing import Any

from benchmarks.results_io import row, write
from benchmarks.study import changes, studied
from trainwright.engine.display import Silent
from trainwright.engine.session import train
from trainwright.runs.folder import Run, read_lines
from trainwright.studies.plan import load, locate

PLAN = "latent_diffusion/ldm_stability_small"
STUDY = Path("runs/ldm_stability")
COMMAND = "python -m benchmarks.ldm_stability"
SHOWN = {
    "pairwise MSE": "sample_diversity/pairwise_mse_mean", "its ratio": "sample_diversity/ratio", "coverage": "samples/coverage",
    "precision": "samples/precision", "KID": "samples/kid", "loss": "unet/loss", "held-out loss": "validation/loss",
}  # fmt: skip
BETTER = {"coverage": "higher", "precision": "higher", "KID": "lower", "loss": "lower", "held-out loss": "lower"}


def line(made: dict[str, Any]) -> dict[str, str]:
    """Return the table cells of an experiment."""
    levels = made.get("levels", {})
    cells = {name: f"{levels[signal]:.3g}" if signal in levels else "" for name, signal in SHOWN.items()}
    symptoms = ", ".join(made.get("symptoms", ()))
    verdict = made.get("verdict", "not run") + (f" ({symptoms})" if symptoms else "")
    return {
        "experiment": made["name"], "change": changes(made), "expected by the LDM guide": made["hypothesis"],
        "outcome": made["outcome"] if levels else f"{made['outcome']}: {made['because']}", "verdict": verdict, **cells,
    }  # fmt: skip


def by_hand(made: dict[str, Any]) -> dict[str, Any]:
    """Run an experiment that the plan skipped with one seed; its levels are medians of the last three readings."""
    run = Run(STUDY / "skipped" / made["name"])
    plan = load(locate(PLAN), ("threads=1", "tracker=none"))
    experiment = next(e for e in plan.experiments if e.name == made["name"])
    train(plan.family, experiment.config, run, Silent())
    rows, facts = read_lines(run.metrics), run.read()
    levels = {}
    for signal in SHOWN.values():
        values = [r[signal] for r in rows if signal in r][-3:]
        if values:
            levels[signal] = statistics.median(values)
    symptoms = {e["symptom"] for e in run.events() if e["event"] == "finding"}
    symptoms -= {e["symptom"] for e in run.events() if e["event"] == "recovered"}
    reported = {
        "outcome": "skipped by the plan, run by hand once",
        "verdict": facts["verdict"],
        "symptoms": sorted(symptoms),
    }
    return {**made, **reported, "levels": levels, "change": dict(experiment.change), "runs": [run.folder.name]}


def main() -> None:
    """Run missing experiments and write the result."""
    made = [r if r.get("levels") else by_hand(r) for r in studied(PLAN, STUDY)]
    rows = [
        row(f"{r['name']}: {name}", r["levels"][signal], "", None, BETTER.get(name, ""), len(r["runs"]), None)
        for r in made
        for name, signal in SHOWN.items()
        if signal in r.get("levels", {})
    ]
    print(write("ldm_stability", COMMAND, rows, table=[line(r) for r in made]))


if __name__ == "__main__":
    main()

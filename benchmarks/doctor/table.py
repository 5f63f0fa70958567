"""The committed table: the doctor compared with baselines on the frozen half, and by symptom.

``python -m benchmarks.doctor.table`` after ``python -m benchmarks.doctor.runs`` and ``python -m benchmarks.doctor.packages``; writes
``results/doctor.json``. With ``--kind latent_diffusion`` only the doctor on such runs, in ``results/doctor_KIND.json``; with
``--doctor`` the rows of the others stay as they are.
"""

import argparse
from collections.abc import Callable
from typing import Any

from benchmarks.doctor import baselines
from benchmarks.doctor.judge import Judge, doctor, history, load, said_by, score
from benchmarks.results_io import kept, row, write

WARNED = ("faulty runs with a warning", "healthy twins with a warning")
COMMAND = (
    "python -m benchmarks.doctor.runs && python -m benchmarks.doctor.packages && python -m benchmarks.doctor.table"
)
TARGETS = {
    "recall": (0.95, "higher"),
    "false alarms": (0.05, "lower"),
    "top-1 cause": (0.85, "higher"),
    "top-3 cause": (None, "higher"),
    "median delay, share of budget": (0.25, "lower"),
    "alarm before 25 % of the budget": (None, "higher"),
    "median watching cost": (0.01, "lower"),
}


def judges() -> dict[str, Judge]:
    """Return all judges; the tree was fitted on the tuning half."""
    tree = baselines.Tree(list(load("tuning")), history)
    rules: dict[str, Callable[..., Any]] = {
        "the guides' rules as written": baselines.guides,
        "loss-only rules of AutoTrainer and SageMaker": baselines.published,
        "a decision tree on raw losses": tree,
    }
    return {"the doctor": doctor, **{name: said_by(rule) for name, rule in rules.items()}}


def others() -> list[dict[str, Any]]:
    """Return rows of torchmortem and thermoclaw on their runs; any warning counts as correct."""
    return [
        {**r, "metric": r["metric"].replace(WARNED[0], "recall").replace(WARNED[1], "false alarms")}
        for r in kept("packages", "-")
    ]


def of_kind(kind: str) -> None:
    """Return rows of the doctor on the frozen runs of one kind: totals, and recall of each symptom."""
    totals, runs = score(doctor, "frozen", kind)
    rows = []
    for metric, (target, better) in TARGETS.items():
        n = totals["healthy twins"] if metric == "false alarms" else totals["faulty runs"]
        rows.append(row(metric, totals[metric], "", target, better, n, None))
    for symptom in sorted({r["symptom"] for r in runs if r["symptom"]}):
        hits = [r["hit"] for r in runs if r["symptom"] == symptom]
        rows.append(row(f"{symptom}: found", sum(hits) / len(hits), "", None, "higher", len(hits), None))
    command = f"python -m benchmarks.doctor.runs --only {kind} && python -m benchmarks.doctor.table --kind {kind}"
    print(write(f"doctor_{kind}", command, rows))


def main() -> None:
    """Write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", help="only runs of this kind")
    parser.add_argument(
        "--doctor", action="store_true", help="judge by the doctor alone, and keep the rows of the others"
    )
    given = parser.parse_args()
    if given.kind is not None:
        of_kind(given.kind)
        return
    rows = []
    for name, judge in ({"the doctor": doctor} if given.doctor else judges()).items():
        totals, runs = score(judge, "frozen")
        for metric, (target, better) in TARGETS.items():
            ours = judge is doctor
            if totals[metric] is None or (
                not ours and metric in ("top-1 cause", "top-3 cause", "median watching cost")
            ):
                continue
            n = totals["healthy twins"] if metric == "false alarms" else totals["faulty runs"]
            rows.append(row(f"{name}: {metric}", totals[metric], "", target if ours else None, better, n, None))
        if judge is doctor:
            by_symptom: dict[str, list[bool]] = {}
            for r in runs:
                by_symptom.setdefault(r["symptom"] or "healthy twins, silent", []).append(r["hit"])
            listed = [
                row(f"{symptom}: found", sum(hits) / len(hits), "", None, "higher", len(hits), None)
                for symptom, hits in sorted(by_symptom.items())
            ]
            print(write("doctor_symptoms", COMMAND, listed))
        print(name, totals, flush=True)
    rows += kept("doctor", "the doctor:") if given.doctor else others()
    print(write("doctor", COMMAND, rows))


if __name__ == "__main__":
    main()

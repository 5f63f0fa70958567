"""Makes the tables of the public loops from ``results/public_runs.jsonl`` and ``results/public_packages.jsonl``.

``python -m benchmarks.public.table --write`` writes ``results/public.json`` and ``results/public_kinds.json``; without it, figures are
printed.
"""

import argparse
import importlib
import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.public.case import Case
from benchmarks.public.packages import NAMES
from benchmarks.public.packages import RESULTS as PACKAGES
from benchmarks.public.run import LATER, RESULTS, split
from benchmarks.results_io import row, write

NEWEST = LATER[-1]
COMMAND = f"python -m benchmarks.public.run --half {NEWEST} && python -m benchmarks.public.table --write"

GROUPS = ("adversarial", "diffusion", "variational", "autoregressive", "prediction", "supervised")


def case_of(name: str) -> Case:
    """Return the truth about a case."""
    return importlib.import_module(f"benchmarks.public.loops.{name}").CASE  # type: ignore[no-any-return]


def score(case: Case, result: dict[str, Any]) -> dict[str, Any]:
    """Compare what was said about a faulty loop with the truth."""
    alarms = result["alarms"]
    right = {case.cause, *case.also}
    ranked: list[str] = []
    for alarm in alarms:
        ranked += [c[0] for c in alarm["causes"] if c[0] not in ranked]
    first = alarms[0]["causes"][0][0] if alarms and alarms[0]["causes"] else None
    wired = any(a["symptom"] == "wiring" and any(c[0] in right for c in a["causes"]) for a in alarms)
    return {
        "symptom": any(a["symptom"] in case.symptoms and a["symptom"] != "wiring" for a in alarms) or wired,
        "first": first in right,
        "three": bool(right & set(ranked[:3])),
        "spoiled_healthy": case.spoils != "nothing visible" and result["verdict"] == "healthy",
        "alarm": result["first_alarm"],
        "cause": first,
    }


def rows(half: str | None, source: Path = RESULTS) -> list[dict[str, Any]]:
    """Return one row a case, of a half or of all."""
    halves = split()
    wanted = set(halves[half]) if half else {n for names in halves.values() for n in names}
    by: dict[str, dict[bool, dict[str, Any]]] = defaultdict(dict)
    for line in source.read_text().splitlines():
        result = json.loads(line)
        if result["case"] in wanted:
            by[result["case"]][result["fixed"]] = result
    found = []
    for name, both in sorted(by.items()):
        case = case_of(name)
        if "error" in both.get(False, {"error": 1}) or "error" in both.get(True, {"error": 1}):
            found.append({"case": name, "kind": case.kind, "error": True})
            continue
        twin = both[True]
        found.append(
            {
                "case": name,
                "kind": case.kind,
                "truth": case.cause,
                "error": False,
                **score(case, both[False]),
                "verdict": both[False]["verdict"],
                "twin_ever": bool(twin["sick"]),
                "twin_end": twin["verdict"] in ("sick", "crashed"),
                "twin_suspect": twin["verdict"] == "suspect",
                "cost": both[False]["cost"],
                "twin_alarms": twin["ever"],
                "said": [(a["symptom"], [c[:2] for c in a["causes"][:3]]) for a in both[False]["alarms"]],
            }
        )
    return found


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return shares over cases."""
    sound = [r for r in found if not r["error"]]
    n = len(sound)
    alarms = [r["alarm"] for r in sound if r["alarm"] is not None]

    def share(key: str) -> int:
        return sum(bool(r[key]) for r in sound)

    return {
        "n": n,
        "symptom": share("symptom"),
        "first": share("first"),
        "three": share("three"),
        "spoiled_healthy": share("spoiled_healthy"),
        "twin_ever": share("twin_ever"),
        "twin_end": share("twin_end"),
        "alarm": statistics.median(alarms) if alarms else None,
        "errors": len(found) - n,
    }


TARGETS = {  # on what no rule was made for
    "symptom": ("symptom right", 0.9, "higher"),
    "first": ("true cause first", 0.7, "higher"),
    "three": ("true cause among three", 0.85, "higher"),
    "spoiled_healthy": ("spoiled samples called healthy", 0.0, "lower"),
    "twin_ever": ("repaired twins sick at some look", 0.05, "lower"),
    "twin_end": ("repaired twins sick at the end", 0.02, "lower"),
}


HALVES = {
    "sixth": "sixth set",
    "fifth": "fifth set",
    "fourth": "fourth set",
    "third": "third set",
    "second": "second set",
    "frozen": "frozen half",
    "tuning": "tuning half",
}


def write_tables() -> None:
    """Write the rows of both halves, of the other packages, and of each kind of model in the newest set."""
    total: list[dict[str, Any]] = []
    for half, called in HALVES.items():
        counts = summary(rows(half))
        if not counts["n"]:
            continue
        for key, (title, target, better) in TARGETS.items():
            aim = target if half != "tuning" else None
            total.append(row(f"{called}: {title}", counts[key] / counts["n"], "", aim, better, counts["n"], None))
        aim = 0.15 if half != "tuning" else None
        total.append(
            row(f"{called}: median first alarm", counts["alarm"], "of the run", aim, "lower", counts["n"], None)
        )
    if PACKAGES.exists():
        runs = [json.loads(line) for line in PACKAGES.read_text().splitlines()]
        runs = [r for r in runs if "error" not in r and r["networks"]]
        for name in NAMES:
            for fixed, title in ((False, "faulty loops with a warning"), (True, "repaired twins with a warning")):
                part = [r[name] for r in runs if r["fixed"] is fixed]
                better = "lower" if fixed else "higher"
                total.append(row(f"{name}: {title}", sum(part) / len(part), "", None, better, len(part), None))
    print(write("public", COMMAND, total))
    kinds = []
    for group in GROUPS:
        part = [r for r in rows(NEWEST) if r["kind"] == group]
        if part:
            counts = summary(part)
            for key in ("symptom", "first", "three", "twin_ever"):
                title, _, better = TARGETS[key]
                kinds.append(row(f"{group}: {title}", counts[key] / counts["n"], "", None, better, counts["n"], None))
    print(write("public_kinds", COMMAND, kinds))


def main() -> None:
    """Print or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=("tuning", "frozen", *LATER))
    parser.add_argument("--runs", type=Path, default=RESULTS)
    parser.add_argument("--cases", action="store_true", help="one line a case; not for a set that is still held back")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    if arguments.write:
        write_tables()
        return
    found = rows(arguments.half, arguments.runs)
    if arguments.cases:
        for r in found:
            if r["error"]:
                print(r["case"], "ERROR")
                continue
            marks = "".join("+" if r[k] else "-" for k in ("symptom", "first", "three"))
            twin = r["twin_alarms"] if r["twin_ever"] else ""
            print(f"{marks} {r['case']}: {r['truth']} | {r['verdict']} {r['said'][:2]} | twin {twin}")
    for group in (*GROUPS, None):
        part = [r for r in found if group in (None, r["kind"])]
        if part:
            print(group or "all", summary(part))


if __name__ == "__main__":
    main()

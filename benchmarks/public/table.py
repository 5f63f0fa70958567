"""Makes the table of the public loops from ``results/public_runs.jsonl``: ``python -m benchmarks.public.table [--half tuning]``."""

import argparse
import importlib
import json
import statistics
from collections import defaultdict
from typing import Any

from benchmarks.public.case import Case
from benchmarks.public.run import RESULTS, split

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


def rows(half: str | None) -> list[dict[str, Any]]:
    """Return one row a case, of a half or of all."""
    halves = split()
    wanted = set(halves[half]) if half else {n for names in halves.values() for n in names}
    by: dict[str, dict[bool, dict[str, Any]]] = defaultdict(dict)
    for line in RESULTS.read_text().splitlines():
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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=("tuning", "frozen"))
    parser.add_argument("--cases", action="store_true", help="one line a case; for the tuning half")
    arguments = parser.parse_args()
    found = rows(arguments.half)
    if arguments.cases and arguments.half == "tuning":
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

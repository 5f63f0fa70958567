"""Makes one thing wrong at a time, and writes down what the doctor said.

``python -m benchmarks.mutations.run [LOOP] [--workers N]``; rows are kept in ``results/mutations.jsonl``. A loop without a fault
must not be called sick.
"""

import argparse
import importlib
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results/mutations.jsonl"
MODULES = ("adversarial", "variational", "diffusion", "sequences", "supervised")
LIMIT = 400


def loops() -> dict[str, Any]:
    """Return each loop with its faults, by name."""
    return {k: v for m in MODULES for k, v in importlib.import_module(f"benchmarks.mutations.{m}").LOOPS.items()}


def judge(name: str, fault: str) -> dict[str, Any]:
    """Train one loop in this process and return what was said."""
    import torch

    torch.set_num_threads(1)
    function, _ = loops()[name]
    begin = time.process_time()
    watch = function(fault)
    found = watch.close()
    return {
        "loop": name, "fault": fault, "verdict": found.verdict, "kind": str(found.kinds),
        "alarms": [{"symptom": d.symptom.name, "severity": d.observation.severity,
                    "causes": [c.cause.name for c in d.causes[:5]], "evidence": str(d.observation.evidence)[:300]}
                   for d in found.alarms],
        "looks": [(s, v) for s, v, _ in watch.verdicts],
        "sick": sorted({str(a) for _, v, a in watch.verdicts if v == "sick"})[:4], "seconds": time.process_time() - begin,
    }  # fmt: skip


def _one(name: str, fault: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.mutations.run", name, "--fault", fault]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    lines = [r for r in done.stdout.splitlines() if r.startswith('{"loop"')]
    if not lines:
        return {"loop": name, "fault": fault, "verdict": "error", "alarms": [], "error": done.stderr[-2000:]}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def right(row: dict[str, Any], truth: tuple[str, ...]) -> str:
    """Return how near the causes are: ``first``, ``three``, ``alarm`` or ``missed``."""
    if not truth:
        return "sound" if not any(v == "sick" for _, v in row.get("looks", [])) else "FALSE ALARM"
    first = [a["causes"][0] for a in row["alarms"] if a["causes"]]
    if first and first[0] in truth:
        return "first"
    if any(c in truth for a in row["alarms"] for c in a["causes"][:3]):
        return "three"
    return "alarm" if row["alarms"] else "missed"


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loop", nargs="*")
    parser.add_argument("--fault")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    if args.fault is not None:
        print(json.dumps(judge(args.loop[0], args.fault)))
        return
    jobs = [
        (name, fault)
        for name, (_, faults) in loops().items()
        if not args.loop or name in args.loop
        for fault in ("", *faults)
    ]
    truths = {
        (name, fault): truth for name, (_, faults) in loops().items() for fault, truth in {"": (), **faults}.items()
    }
    with ThreadPoolExecutor(args.workers) as pool, args.out.open("a") as out:
        for row in pool.map(lambda job: _one(*job), jobs):
            out.write(json.dumps(row) + "\n")
            out.flush()
            said = [(a["symptom"], a["causes"][:2]) for a in row["alarms"]]
            where = truths[row["loop"], row["fault"]]
            print(
                f"{right(row, where):12} {row['loop']}/{row['fault'] or 'sound'} [{row['verdict']}] {said} (truth {where[:2]})",
                flush=True,
            )


if __name__ == "__main__":
    main()

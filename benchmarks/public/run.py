"""Trains the loops and writes down what the doctor said.

``python -m benchmarks.public.run --half tuning`` (or ``frozen``, or names of cases); each loop runs in a process of its own with
one thread, faulty and repaired. Results are kept in ``results/public_runs.jsonl`` by case, twin and seed.
"""

import argparse
import hashlib
import importlib
import json
import os
import pkgutil
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SPLIT = HERE / "split.json"
LATER = (
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
)  # sets of sources that were rebuilt after the frozen half had been looked at
RESULTS = HERE.parent / "results" / "public_runs.jsonl"
FROZEN = 166  # of 256 hashes: the sources that were known before the split are all for tuning
LIMIT = 600  # seconds of one run, on a machine under load


def names() -> list[str]:
    """Return the names of all cases."""
    return sorted(m.name for m in pkgutil.iter_modules([str(HERE / "loops")]))


def source_of(name: str) -> str:
    """Return the source of a case without the number of the report: cases of one repository are in the same half."""
    text = (HERE / "loops" / f"{name}.py").read_text()
    source = text.split('source="', 1)[1].split('"', 1)[0]
    return source.partition("#")[0].strip().lower()


def split() -> dict[str, list[str]]:
    """Return the cases of each half; a source without an entry yet is put into one by the hash of its name.

    The cases of the later sets, in ``second.txt`` and so on, are of neither.
    """
    sets = {name: (HERE / f"{name}.txt").read_text().split() for name in LATER if (HERE / f"{name}.txt").exists()}
    later = {case for cases in sets.values() for case in cases}
    known = json.loads(SPLIT.read_text()) if SPLIT.exists() else {}
    halves: dict[str, list[str]] = {"tuning": [], "frozen": [], **sets}
    for name in names():
        if name in later:
            continue
        source = source_of(name)
        half = known.get(source) or ("frozen" if hashlib.sha256(source.encode()).digest()[0] < FROZEN else "tuning")
        known[source] = half
        halves[half].append(name)
    SPLIT.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")
    return halves


def judge(name: str, fixed: bool) -> dict[str, Any]:
    """Train one loop in this process and return what was said about it."""
    import torch

    torch.set_num_threads(1)
    module = importlib.import_module(f"benchmarks.public.loops.{name}")
    begin, cpu = time.perf_counter(), time.process_time()
    watch = module.loop(fixed)
    found = watch.close()
    total = watch.total or max(1, watch._step)
    alarms = [(s, v, a) for s, v, a in watch.verdicts if a]
    return {
        "case": name,
        "fixed": fixed,
        "verdict": found.verdict,
        "reason": found.reason,
        "alarms": [
            {
                "symptom": d.symptom.name,
                "severity": d.observation.severity,
                "onset": d.observation.onset,
                "evidence": list(d.evidence),
                "causes": [[c.cause.name, round(c.weight.score, 3), c.weight.reason] for c in d.causes[:4]],
            }
            for d in found.alarms
        ],
        "first_alarm": alarms[0][0] / total if alarms else None,
        "first_step": alarms[0][0] if alarms else None,
        "sick": [s for s, v, _ in watch.verdicts if v in ("sick", "crashed")],
        "ever": sorted({a for _, _, names_ in alarms for a in names_}),
        "looks": len(watch.verdicts),
        "quality": {
            n: s.last for n, s in watch.history().signals.items() if n.startswith(("samples/", "real/", "baseline/"))
        },
        "total": total,
        "kinds": sorted(_kinds(watch)),
        "cost": watch.cost,
        "failed": repr(watch.failed or watch.observer.failed) if watch.failed or watch.observer.failed else None,
        "seconds": time.perf_counter() - begin,
        "cpu": time.process_time() - cpu,
    }


def _kinds(watch: Any) -> Iterable[str]:
    from trainwright.diagnosis.kinds import kinds_of

    return kinds_of(watch.history())


def run(name: str, fixed: bool) -> dict[str, Any]:
    """Train one loop in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.public.run", "--one", name, *(["--fixed"] if fixed else [])]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return {"case": name, "fixed": fixed, "error": f"took more than {LIMIT} seconds"}
    last = done.stdout.strip().splitlines()[-1:] or [""]
    try:
        return dict(json.loads(last[0]))
    except ValueError:
        return {"case": name, "fixed": fixed, "error": done.stderr.strip()[-600:]}


def main() -> None:
    """Run cases of a half, or those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--half", choices=("tuning", "frozen", *LATER))
    parser.add_argument("--one")
    parser.add_argument("--fixed", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.one:
        print("\n" + json.dumps(judge(arguments.one, arguments.fixed)))
        return
    halves = split()
    cases = arguments.cases or halves[arguments.half or "tuning"]
    kept = [json.loads(x) for x in arguments.out.read_text().splitlines()] if arguments.out.exists() else []
    kept = [r for r in kept if r["case"] not in cases]
    with ThreadPoolExecutor(arguments.workers) as pool:
        for result in pool.map(lambda job: run(*job), [(c, f) for c in cases for f in (False, True)]):
            kept.append(result)
            print(
                result["case"],
                "fixed" if result["fixed"] else "fault",
                result.get("verdict", result.get("error")),
                flush=True,
            )
            ordered = sorted(kept, key=lambda r: (r["case"], r["fixed"]))
            arguments.out.write_text("".join(json.dumps(r) + "\n" for r in ordered))


if __name__ == "__main__":
    main()

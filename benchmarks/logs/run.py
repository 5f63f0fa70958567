"""The doctor on public logs of real trainings.

``python -m benchmarks.logs.run CORPUS --half tuning`` reads each log of the half in ``CORPUS/ID/`` and compares the diagnosis with
the truth in its ``meta.json`` (``truth``, ``also_right``, ``best_step``). The logs of ``second_tuning`` and
``second_frozen`` are listed in ``second.json``, those of ``third_frozen`` in ``third.json``; both sets were collected after the frozen
halves before them had been looked at.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results_io import RESULTS, row, write
from trainwright import Diagnosis, api
from trainwright.diagnosis.best import best
from trainwright.diagnosis.doctor import FLOOR, examine
from trainwright.diagnosis.history import Series
from trainwright.diagnosis.importers import named
from trainwright.diagnosis.importers.columns import Log
from trainwright.diagnosis.input import DiagnosisInput
from trainwright.errors import UserError

COMMAND = "python -m benchmarks.logs.run CORPUS --half frozen"
HERE = Path(__file__).parent
TITLES = {
    "tuning": "repositories, tuning half", "frozen": "repositories, frozen half", "threads_tuning": "threads, tuning half",
    "threads_frozen": "threads, frozen half", "second_tuning": "second set, tuning half",
    "second_frozen": "second set, frozen half", "third_frozen": "third set",
}  # fmt: skip
NEAR = 0.1  # of the best step
OUTSIDE = "out_of_scope"  # truth of logs that the doctor should decline to judge


def judge(name: str, meta: dict[str, Any], look: Callable[[], Diagnosis]) -> dict[str, Any]:
    """Diagnose a log; return what was said and whether it is right."""
    begin = time.process_time()
    found: dict[str, Any] = {"id": name, "kind": meta["kind"], "truth": meta["truth"], "format": meta["format"]}
    try:
        said = look()
    except UserError as error:
        return found | {"read": False, "error": str(error), "verdict": "", "symptoms": [], "right": None}
    alarms = [f.symptom for f in said.alarms]
    causes = [c.name for f in said.alarms for c in f.causes if c.score >= FLOOR]
    right = {meta["truth"], *meta["also_right"]}
    named = bool(right & {*alarms, *causes[:1]})  # a verdict is no name
    if meta["truth"] == OUTSIDE:
        named = OUTSIDE.replace("_", " ") in said.reason
    healthy = meta["truth"] in ("healthy", "unknown")
    return found | {
        "read": bool(said._source.history.signals),
        "verdict": said.verdict,
        "symptoms": alarms,
        "causes": causes[:3],
        "right": (not alarms or bool(right & {*alarms, *causes[:1]})) if healthy else named,
        "advice": [r.advice for f in said.alarms[:1] for r in f.remedies[:1]],
        "best": [said.best_step, meta["best_step"]],
        "reading": _reading(said),  # some truths count epochs where the log counts steps
        "seconds": time.process_time() - begin,
    }


def in_folder(folder: Path) -> dict[str, Any]:
    """Judge the log in a folder of the corpus."""
    meta = json.loads((folder / "meta.json").read_text())
    return judge(folder.name, meta, lambda: api.diagnose(folder / meta["file"]))


def of_thread(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Judge the numbers of a thread."""

    def look() -> Diagnosis:
        columns = {
            n: Series(np.array(c["steps"], float), np.array(c["values"], float)) for n, c in entry["columns"].items()
        }
        history = named(Path(name), Log("text", columns, total=entry["total"]), {}).history
        return Diagnosis._of(DiagnosisInput(name, history), examine(history))

    return judge(name, entry, look)


def _reading(said: Diagnosis) -> int | None:
    """Return the number of the best reading, counted from 1."""
    kept = best(said._source.history)
    return (
        None if kept is None else int(np.searchsorted(said._source.history.signals[kept.signal].steps, kept.step)) + 1
    )


def main() -> None:
    """Judge the logs of one half and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "corpus",
        type=Path,
        nargs="?",
        help="folder of the corpus; without it, the numbers that are kept here are judged",
    )
    parser.add_argument("--half", choices=tuple(TITLES), default="tuning")
    parser.add_argument("--only", default="", help="part of a name")
    parser.add_argument("--write", action="store_true", help="write results/logs.json")
    given = parser.parse_args()
    names = json.loads((HERE / "split.json").read_text())[given.half]
    kept = HERE / f"{given.half.rpartition('_')[0]}.json"  # numbers, thinned, where the logs themselves are not at hand
    if kept.exists() and given.corpus is None:
        numbers = json.loads(kept.read_text())
        done = [of_thread(n, numbers[n]) for n in names if given.only in n and n in numbers]
    else:
        done = [in_folder(given.corpus / n) for n in names if given.only in n]
    for one in done:
        sound_but_sick = one["truth"] == "healthy" and one["verdict"] in ("sick", "crashed") and not one["right"]
        mark = {True: "ok", False: "WRONG", None: "UNREAD"}[one["right"]]
        print(f"{'SICK' if sound_but_sick else mark:7}{one['id']:34}{one['truth']:22}{one['verdict']:9}{', '.join(one['symptoms'])} | "
              f"{', '.join(one.get('causes', ()))} | best {one.get('best')} {one.get('error', '')[:90]}")  # fmt: skip
    faults = [d for d in done if d["truth"] not in ("healthy", "unknown")]
    sound = [d for d in done if d["truth"] == "healthy"]
    curves = [d for d in done if d.get("best", [None, None])[1] is not None]
    hits = [
        d
        for d in curves
        if any(v is not None and abs(v - d["best"][1]) <= NEAR * d["best"][1] for v in (d["best"][0], d["reading"]))
    ]
    title = TITLES[given.half]
    ends = [d["verdict"] in ("sick", "crashed") and not d["right"] for d in sound]
    rows = [
        row(
            f"{title}: read with useful columns", share([d["read"] for d in done]), "", 0.95, "higher", len(done), None
        ),
        row(f"{title}: fault named", share([bool(d["right"]) for d in faults]), "", 0.85, "higher", len(faults), None),
        row(f"{title}: healthy called sick", share(ends), "", 0.03, "lower", len(sound), None),
        row(
            f"{title}: healthy with an alarm",
            share([bool(d["symptoms"]) for d in sound]),
            "",
            None,
            "lower",
            len(sound),
            None,
        ),
        row(
            f"{title}: best checkpoint within 10 %",
            share([d in hits for d in curves]),
            "",
            None,
            "higher",
            len(curves),
            None,
        ),
    ]
    for one in rows:
        print(one["metric"], one["value"], one["n"])
    if given.write:
        file = RESULTS / "logs.json"
        before = json.loads(file.read_text())["rows"] if file.exists() else []
        others = [r for r in before if not r["metric"].startswith(f"{title}:")]
        print(write("logs", COMMAND, [*others, *rows]))


def share(hits: list[bool]) -> float:
    """Return the share of True."""
    return sum(hits) / len(hits) if hits else 0.0


if __name__ == "__main__":
    main()

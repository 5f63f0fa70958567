"""The doctor on GAN runs of other projects with two loss curves each: faults that losses can show.

``python -m benchmarks.doctor.foreign FOLDER`` reads CSV files (step, d_loss, g_loss) and ``labels.json``. A label states if FID rose
permanently by half, and from which step. No threshold was set with these runs.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.results_io import row, write
from trainwright.diagnosis.doctor import examine
from trainwright.diagnosis.input import open_input
from trainwright.diagnosis.symptoms import symptoms

LOOKS = 40


def look(folder: Path, label: dict[str, Any]) -> dict[str, Any]:
    """Return the first alarm of one run, examined forty times while it grew, and the answer at the end."""
    source = open_input(folder / f"{label['run']}.csv", {})
    whole = source.history
    whole.total = label["steps"]
    first, names = None, set()
    for i in range(1, LOOKS + 1):
        step = label["steps"] * i / LOOKS
        alarms = examine(whole.until(step)).alarms
        names |= {a.symptom.name for a in alarms}
        if alarms and first is None:
            first = step
    end = examine(whole)
    return {
        "label": label,
        "alarm": first,
        "names": sorted(names),
        "verdict": end.verdict,
        "kind": whole.facts.get("adversarial"),
        "unknown": len(end.unknown),
    }


def reported(s: dict[str, Any]) -> str:
    """Return a run in a line."""
    label = s["label"]
    when = "" if s["alarm"] is None else f"{s['alarm'] / label['steps']:.2f}"
    onset = f"{label['onset_step'] / label['steps']:.2f}" if label["degraded"] else ""
    what = "degraded" if label["degraded"] else "fine"
    facts = f"{what:9}{onset:5} alarm {when:5} {s['verdict']:8} {s['kind']!s:12} {label['adv_loss']:12}"
    return f"{facts} {','.join(s['names']):40} {label['run'][:50]}"


def figures(seen: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Yield rows of the result: shares of runs that got worse, of those that did not, and of all."""
    bad, good = [s for s in seen if s["label"]["degraded"]], [s for s in seen if not s["label"]["degraded"]]

    def share(
        metric: str, better: str, runs: list[dict[str, Any]], holds: Callable[[dict[str, Any]], float]
    ) -> dict[str, Any]:
        return row(metric, sum(map(holds, runs)) / len(runs), "", None, better, len(runs), None)

    def in_time(s: dict[str, Any]) -> bool:
        limit = s["label"]["steps"] / 4
        return s["alarm"] is not None and s["alarm"] <= s["label"]["onset_step"] + limit

    return [
        share("degraded runs with an alarm", "higher", bad, lambda s: s["alarm"] is not None),
        share("alarm within a quarter of the run after FID got worse", "higher", bad, in_time),
        share("runs whose FID stayed good, with an alarm", "lower", good, lambda s: s["alarm"] is not None),
        share("kind of loss recognised from its numbers alone", "", seen, lambda s: s["kind"] is not None),
        share("verdict unknown at the end", "", seen, lambda s: s["verdict"] == "unknown"),
        share("verdict healthy at the end", "lower", seen, lambda s: s["verdict"] == "healthy"),
        share(f"symptoms of {len(symptoms())} that stay unknown, mean", "", seen, lambda s: s["unknown"]),
    ]


def main() -> None:
    """Print each run and write ``results/foreign.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    seen = [look(folder, label) for label in json.loads((folder / "labels.json").read_text())]
    print("\n".join(map(reported, seen)))
    print(Counter(name for s in seen for name in s["names"]))
    print(write("foreign", "python -m benchmarks.doctor.foreign FOLDER", figures(seen)))


if __name__ == "__main__":
    main()

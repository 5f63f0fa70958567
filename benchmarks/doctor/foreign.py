"""The doctor on other people's GAN runs, of which only two loss curves are known: what losses tell, and what they cannot.

``python -m benchmarks.doctor.foreign FOLDER`` reads CSV files (step, d_loss, g_loss) and ``labels.json`` (whether FID got worse by half
for good, and from which step). No threshold was set by these runs.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.results_io import row, write
from trainwright.health.doctor import examine
from trainwright.health.record import admit

LOOKS = 40
LOSS_ONLY = (
    "critic_dominance",
    "generator_dominance",
    "discriminator_guessing",
    "oscillation",
    "exploding",
    "non_finite",
    "spike",
)


def look(folder: Path, label: dict[str, Any]) -> dict[str, Any]:
    """First alarm of one run, asked forty times while it grew, and what was said at the end."""
    patient = admit(folder / f"{label['run']}.csv", {})
    whole = patient.history
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


def main() -> None:
    """Prints each run and writes ``results/foreign.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    seen = [look(folder, label) for label in json.loads((folder / "labels.json").read_text())]
    for s in seen:
        label = s["label"]
        when = "" if s["alarm"] is None else f"{s['alarm'] / label['steps']:.2f}"
        onset = "" if not label["degraded"] else f"{label['onset_step'] / label['steps']:.2f}"
        what = "degraded" if label["degraded"] else "fine"
        told = f"{what:9}{onset:5} alarm {when:5} {s['verdict']:8} {s['kind']!s:12} {label['adv_loss']:12}"
        print(f"{told} {','.join(s['names']):40} {label['run'][:50]}")
    bad, good = [s for s in seen if s["label"]["degraded"]], [s for s in seen if not s["label"]["degraded"]]
    caught = [s for s in bad if s["alarm"] is not None]
    in_time = [s for s in caught if s["alarm"] <= s["label"]["onset_step"] + 0.25 * s["label"]["steps"]]
    rows = [
        row("degraded runs with an alarm", len(caught) / len(bad), "", None, "higher", len(bad), None),
        row(
            "alarm within a quarter of the run after FID got worse",
            len(in_time) / len(bad),
            "",
            None,
            "higher",
            len(bad),
            None,
        ),
        row(
            "runs whose FID stayed good, with an alarm",
            sum(s["alarm"] is not None for s in good) / len(good),
            "",
            None,
            "lower",
            len(good),
            None,
        ),
        row(
            "kind of loss recognised from its numbers alone",
            sum(s["kind"] is not None for s in seen) / len(seen),
            "",
            None,
            "",
            len(seen),
            None,
        ),
        row(
            "verdict unknown at the end",
            sum(s["verdict"] == "unknown" for s in seen) / len(seen),
            "",
            None,
            "",
            len(seen),
            None,
        ),
        row(
            "verdict healthy at the end",
            sum(s["verdict"] == "healthy" for s in seen) / len(seen),
            "",
            None,
            "lower",
            len(seen),
            None,
        ),
        row(
            "symptoms of 28 that stay unknown, mean",
            sum(s["unknown"] for s in seen) / len(seen),
            "",
            None,
            "",
            len(seen),
            None,
        ),
    ]
    print(Counter(name for s in seen for name in s["names"]))
    print(write("foreign", "python -m benchmarks.doctor.foreign FOLDER", rows))


if __name__ == "__main__":
    main()

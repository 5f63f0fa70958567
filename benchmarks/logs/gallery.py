"""The doctor beside trainproof and runmedic: what each says of a gallery of broken fine-tunes, and the CPU time of one call.

``python -m benchmarks.logs.gallery GALLERY`` reads ``GALLERY/FAULT/SEED/``; the folder's name is the truth. trainproof and runmedic
have to be installed in the same environment; a healthy run of another seed is the baseline where a program takes one.
"""

import argparse
import json
import math
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.results_io import row, write

COMMAND = "python -m benchmarks.logs.gallery GALLERY"
BIN = Path(sys.executable).parent
ROUNDS = 5
RIGHT = {  # what each program may call a fault
    "lr_hot": ("diverging", "exploding", "diverg", "divergence", "spike", "explo"),
    "lr_zero": ("frozen_network", "lr", "learning_rate", "rate"),
    "fp16_nan": ("non_finite", "nan", "inf", "diverg", "grad"),
    "overfit": ("overfitting", "overfit", "memor"),
    "bad_labels": ("worse_than_baseline", "floor", "end-ratio"),
}


def command(program: str, file: Path, baseline: Path | None) -> list[str]:
    """Return the command line of a program for one log."""
    words = {
        "trainwright": [str(BIN / "trainwright"), "doctor", str(file), "--json"],
        "trainproof": [str(BIN / "trainproof"), "doctor", str(file), "--json"],
        "runmedic": [str(BIN / "runmedic"), "diagnose", str(file), "--json"],
    }[program]
    return words + (["--baseline", str(baseline)] if baseline is not None and program != "runmedic" else [])


def findings(program: str, said: str) -> list[str]:
    """Return the names of what a program reports beyond notes, from its JSON; compared runs included."""
    try:
        found = json.loads(said)
    except ValueError:
        return []
    if program == "trainwright":
        return [f["symptom"] for f in found["findings"] if f["severity"] != "note" and f["follows"] is None]
    text: list[str] = []
    _collect(found, text)
    return text


def _collect(value: object, text: list[str]) -> None:
    """Collect ids or names of findings of warning or worse, wherever they stand in the JSON of another program."""
    if isinstance(value, dict):
        grade = str(value.get("severity", value.get("level", value.get("verdict", "")))).lower()
        name = value.get("id") or value.get("rule") or value.get("code") or value.get("check") or value.get("rule_id")
        if isinstance(name, str) and grade in ("critical", "error", "fail", "warning", "warn"):
            text.append(name.lower())
        for inner in value.values():
            _collect(inner, text)
    elif isinstance(value, list):
        for inner in value:
            _collect(inner, text)


def seconds(words: list[str]) -> float:
    """Return the CPU seconds of one call."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def csv(folder: Path, rows: int, sick: bool) -> Path:
    """Write a log of a loss and a held-out loss, which rises in the end if it is sick."""
    rng, file = random.Random(rows), folder / f"{rows}_{sick}.csv"
    lines = ["step,loss,val_loss,lr"]
    for i in range(rows):
        fall, late = math.exp(-4 * i / rows), (3 * i / rows - 1) ** 2 if sick and 3 * i > rows else 0.0
        lines.append(f"{i},{fall + 0.1 + 0.05 * rng.random()},{fall + 0.12 + late + 0.05 * rng.random()},1e-4")
    file.write_text("\n".join(lines) + "\n")
    return file


def main() -> None:
    """Print every answer and write ``results/gallery.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gallery", type=Path)
    given = parser.parse_args()
    programs = [p for p in ("trainwright", "trainproof", "runmedic") if (BIN / p).exists()]
    rows = []
    for program in programs:
        hits, alarms, faults, sound = 0, 0, 0, 0
        for folder in sorted(given.gallery.glob("*/*")):
            truth = folder.parent.name
            others = [f for f in sorted(given.gallery.glob("healthy/*")) if f.name != folder.name]
            baseline = next(others[0].glob("*.json")) if truth in ("bad_labels", "healthy") else None
            said = subprocess.run(
                command(program, next(folder.glob("*.json")), baseline), capture_output=True, text=True, check=False
            )
            names = findings(program, said.stdout)
            right = any(word in name for name in names for word in RIGHT.get(truth, ()))
            print(f"{program:12}{truth:12}{folder.name:8}{'right' if right else ''} {names}")
            faults, sound = faults + (truth != "healthy"), sound + (truth == "healthy")
            hits, alarms = hits + (right and truth != "healthy"), alarms + (bool(names) and truth == "healthy")
        rows.append(
            row(
                f"{program}: faults named",
                hits,
                "",
                faults if program == "trainwright" else None,
                "higher",
                faults,
                None,
            )
        )
        rows.append(row(f"{program}: healthy runs with an alarm", alarms, "", 0, "lower", sound, None))
    with tempfile.TemporaryDirectory() as place:
        files = {
            "300 rows": (csv(Path(place), 300, False), 0.25), "300 rows, sick": (csv(Path(place), 300, True), 0.25),
            "50,000 rows": (csv(Path(place), 50_000, False), 0.6),
        }  # fmt: skip
        for title, (file, most) in files.items():
            taken = {p: [seconds(command(p, file, None)) for _ in range(ROUNDS)] for p in programs}
            for program in programs:
                middle = statistics.median(taken[program])
                rows.append(
                    row(f"{program}: CPU of one call, {title}", middle, "s", most if program == "trainwright" else None, "lower",
                        ROUNDS, max(taken[program]) - min(taken[program]))
                )  # fmt: skip
    print(write("gallery", COMMAND, rows))


if __name__ == "__main__":
    main()

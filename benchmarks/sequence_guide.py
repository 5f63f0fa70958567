"""The comparisons of the sequence VAE guide as a plan over three seeds: each claim with its result.

``python -m benchmarks.sequence_guide`` keeps the study in ``runs/sequence_guide`` (a second call resumes) and writes
``results/sequence_guide.json``.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.results_io import row, write

STUDY = Path("runs/sequence_guide")
ERROR, SAMPLES, NATS = "validation/element", "prior/two_sample_ratio", "kl/nats_heldout"


def line(made: dict[str, Any]) -> dict[str, str]:
    """Return the cells of an experiment: medians over seeds, and differences from its parent with 95 % intervals."""
    effects = made.get("effects", {})

    def beside(signal: str) -> str:
        level = f"{made['levels'][signal]:.3g}"
        return f"{level} ({effects[signal]['text']})" if signal in effects else level

    changes = ", ".join(f"{k.rpartition('.')[2]} {v}" for k, v in made["change"].items())
    return {
        "claim of the sequence VAE guide": made["hypothesis"], "change": changes or "none",
        "error": beside(ERROR), "samples": beside(SAMPLES),
        "nats": f"{made['levels'][NATS]:.0f}", "outcome": made["outcome"],
    }  # fmt: skip


def main() -> None:
    """Run missing experiments and write the result."""
    command = [
        sys.executable,
        "-m",
        "trainwright",
        "plan",
        "run",
        "sequence_vae/comparisons",
        "threads=1",
        "tracker=none",
    ]
    subprocess.run([*command, "--study", str(STUDY)], check=True)
    made = json.loads((STUDY / "table.json").read_text())["rows"]
    rows = [
        row(f"{r['name']}: {label}", r["levels"][signal], unit, None, "lower", len(r["runs"]), None)
        for r in made
        for label, signal, unit in (("held-out error", ERROR, ""), ("two-sample ratio of samples", SAMPLES, "x"))
    ]
    words = [r["outcome"] for r in made]
    for word in ("supported", "contradicted", "undecided"):
        rows.append(row(f"claims {word}", words.count(word), f"of {len(words) - 1}", None, "higher", 3, None))
    print(write("sequence_guide", "python -m benchmarks.sequence_guide", rows, table=[line(r) for r in made]))


if __name__ == "__main__":
    main()

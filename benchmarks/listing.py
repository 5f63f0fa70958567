"""Time of ``trainwright runs`` with 10,000 run folders: with an existing index, and the first time.

``python -m benchmarks.listing``
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.results_io import row, write

COMMAND = "python -m benchmarks.listing"
COUNT, REPEATS = 10_000, 5


def main() -> None:
    """Create the folders, time the command, write ``results/listing.json``."""
    with tempfile.TemporaryDirectory() as root:
        for i in range(COUNT):
            folder = Path(root) / f"run-{i:05d}"
            folder.mkdir()
            facts = {
                "format": 1,
                "family": "wgan_gp",
                "recipe": "wgan_gp/small",
                "status": "finished",
                "verdict": "unknown",
            }
            facts |= {
                "step": i,
                "steps": 10_000,
                "created": f"2026-01-01T{i % 24:02}:00:00+00:00",
                "hypothesis": "x" * 80,
            }
            (folder / "run.json").write_text(json.dumps(facts))
        first, *rest = [timed(root) for _ in range(REPEATS + 1)]
    rows = [
        row(f"{COUNT:,} runs listed", statistics.median(rest), "s", 1.0, "lower", REPEATS, max(rest) - min(rest)),
        row(f"{COUNT:,} runs listed, index rebuilt", first, "s", None, "lower", 1, None),
    ]
    print(write("listing", COMMAND, rows))


def timed(root: str) -> float:
    """Return the seconds of one whole command."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "trainwright", "runs", "--root", root], capture_output=True, check=True
    )
    assert done.stdout.count(b"\n") == COUNT + 1
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()

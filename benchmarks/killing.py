"""Kill the driver of a plan at random times in 50 studies; the same command must then end equally.

The signal is that of ``kill -9``, once in each study.

``python -m benchmarks.killing`` writes ``results/killing.json``.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.results_io import row, write

PLAN = """
title: a plan that is killed
recipe: wgan_gp/tiny
settings:
  {train.steps: 60, data.size: 16, model.generator_features: 8, model.critic_features: 8, model.latent_dim: 8, train.batch_size: 8,
   optim.n_critic: 2, train.threads: 1, train.tracker: none, train.log_every: 5, train.validate_every: 15, train.checkpoint_every: 15,
   train.sample_every: 30, train.sample_count: 4, train.probe_stride: 1}
seeds: [0, 1]
show: [samples/diversity_ratio]
experiments:
  - {name: base, hypothesis: it runs to its end, expect: "base.step == 60"}
  - {name: slower, from: base, change: {lr_g: x0.5}, hypothesis: half the rate is no worse, expect: "slower.score >= base.score"}
  - {name: longer, from: base, begin: end, steps: 30, hypothesis: more steps help, expect: "longer.score > base.score"}
  - {name: never, from: base, change: {lr_d: x0.5}, when: "base.step > 60", hypothesis: this one is not to be run}
"""
CLOCK = ("seconds", "speed", "levels", "effects")


def command(plan: Path, study: Path, workers: int) -> list[str]:
    """Return the command, which is the same each time."""
    return [
        sys.executable,
        "-m",
        "trainwright",
        "plan",
        "run",
        str(plan),
        "--study",
        str(study),
        "--workers",
        str(workers),
    ]


def outcome(study: Path) -> Any:
    """Return the table without times, and every signal's level at the end."""
    table = json.loads((study / "table.json").read_text())
    kept = [{k: v for k, v in r.items() if k not in CLOCK} for r in table["rows"]]
    levels = [
        {k: v for k, v in r.get("levels", {}).items() if not k.startswith(("speed/", "monitor/"))}
        for r in table["rows"]
    ]
    return table["headline"], kept, levels


def kill_once(plan: Path, place: Path, number: int, length: float, expected: Any) -> dict[str, Any]:
    """Start a fresh study, kill its driver after a random time, and run the same command to its end."""
    draw, study = random.Random(number), place / f"study{number}"
    words = command(plan, study, 1 + number % 2)
    driver = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(draw.uniform(0, length))
    over = driver.poll() is not None
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    journal = study / "events.jsonl"
    at = len(journal.read_text().splitlines()) if journal.exists() else 0
    said = subprocess.run(words, capture_output=True, text=True, timeout=600)
    if said.returncode:
        return {"same": False, "over": over, "journal": at, "twice": 0, "error": said.stderr[-500:]}
    ended = [
        e["experiment"] for line in journal.read_text().splitlines() if (e := json.loads(line))["event"] == "ended"
    ]
    return {
        "same": outcome(study) == expected,
        "over": over,
        "journal": at,
        "twice": len(ended) - len(set(ended)),
        "error": "",
    }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        plan = place / "plan.yaml"
        plan.write_text(PLAN)
        begin = time.perf_counter()
        subprocess.run(command(plan, place / "whole", 2), check=True, capture_output=True)
        length = time.perf_counter() - begin
        expected = outcome(place / "whole")
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda i: kill_once(plan, place, i, 1.3 * length, expected), range(count)))
    for number, one in enumerate(found):
        if not one["same"]:
            print(number, one)
    before = sum(not one["over"] for one in found)
    moments = sorted(one["journal"] for one in found)
    rows = [
        row("drivers killed", count, "", None, "higher", count, None),
        row("of them while the plan was running", before, "", None, "higher", count, None),
        row(
            "journal entries at the kill, median",
            moments[count // 2],
            "",
            None,
            "higher",
            count,
            moments[-1] - moments[0],
        ),
        row("same table afterwards", sum(one["same"] for one in found), "", count, "higher", count, None),
        row("experiments ended twice", sum(one["twice"] for one in found), "", 0, "lower", count, None),
    ]
    print(write("killing", "python -m benchmarks.killing", rows))


if __name__ == "__main__":
    main()

"""Experiments per hour of one process, two processes, and a Ray cluster of two nodes on this machine.

``python -m benchmarks.workers`` writes ``results/workers.json``. An experiment is 400 steps of ``wgan_gp/tiny`` at 16 px, one thread.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.results_io import row, write
from trainwright.runs.folder import read_lines

COUNT, REPEATS = 8, 2
PLAN = f"""
title: many short ones
recipe: wgan_gp/tiny
settings:
  {{train.steps: 400, data.size: 16, model.generator_features: 16, model.critic_features: 16, optim.n_critic: 2, train.threads: 1,
   train.tracker: none, train.validate_every: 100, train.checkpoint_every: 200, train.sample_every: 400}}
seeds: {list(range(COUNT))}
experiments:
  - {{name: base, hypothesis: it runs to its end, expect: "base.step == 400"}}
"""


def measure(words: list[str], study: Path) -> tuple[float, float]:
    """Return (experiments per hour, median samples per second of a run)."""
    begin = time.perf_counter()
    subprocess.run([*words, "--study", str(study)], check=True, capture_output=True)
    hour = 3600 * COUNT / (time.perf_counter() - begin)
    speeds = [e["result"]["speed"] for e in read_lines(study / "events.jsonl") if e["event"] == "ended"]
    return hour, statistics.median(speeds)


def main() -> None:
    """Measure all in alternation, so that noise of the machine affects each."""
    from ray.cluster_utils import Cluster

    rows: dict[str, list[tuple[float, float]]] = {"1 process": [], "2 processes": [], "Ray, 2 nodes": []}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        plan = place / "plan.yaml"
        plan.write_text(PLAN)
        words = [sys.executable, "-m", "trainwright", "plan", "run", str(plan)]
        for turn in range(REPEATS):
            rows["1 process"].append(measure([*words, "--workers", "1"], place / f"one{turn}"))
            rows["2 processes"].append(measure([*words, "--workers", "2"], place / f"two{turn}"))
            memory = {"object_store_memory": 80 << 20}
            cluster = Cluster(
                initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **memory}
            )
            try:
                cluster.add_node(num_cpus=1, **memory)
                ray = ["--executor", "ray", "--address", cluster.address, "--workers", "2"]
                rows["Ray, 2 nodes"].append(measure([*words, *ray], place / f"ray{turn}"))
            finally:
                cluster.shutdown()
    made = []
    for label, found in rows.items():
        hours, speeds = zip(*found, strict=True)
        spread = max(hours) - min(hours)
        made.append(row(f"{label}: experiments an hour", statistics.median(hours), "", None, "higher", REPEATS, spread))
        made.append(
            row(f"{label}: samples a second of a run", statistics.median(speeds), "", None, "higher", REPEATS, None)
        )
    one, two = (statistics.median(h for h, _ in rows[k]) for k in ("1 process", "2 processes"))
    made.append(row("two processes over one", two / one, "x", None, "higher", REPEATS, None))
    print(write("workers", "python -m benchmarks.workers", made))


if __name__ == "__main__":
    main()

"""A real Ray cluster of two nodes on this machine runs a plan; a node that is killed in the middle of a run loses nothing."""

import json
import os
import subprocess
import sys
import time

import pytest

from trainwright.runs.folder import read_lines

WORDS = (
    "size=16", "generator_features=8", "critic_features=8", "latent_dim=8", "batch_size=8", "n_critic=2", "tracker=none",
    "log_every=10", "validate_every=100", "checkpoint_every=50", "sample_every=300", "sample_count=4", "probe_stride=1",
)  # fmt: skip
PLAN = """
title: on a cluster
recipe: wgan_gp/tiny
settings: {steps: 300}
seeds: [0, 1]
experiments:
  - {name: base, hypothesis: it runs to its end, expect: "base.step == 300"}
  - {name: slower, from: base, change: {lr_g: x0.5}, hypothesis: so does this one, expect: "slower.step == 300"}
"""


@pytest.mark.timeout(400)
def test_a_node_that_is_killed_in_the_middle_of_a_run_loses_nothing(sprites, tmp_path):
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    file = tmp_path / "plan.yaml"
    file.write_text(PLAN)
    words = [sys.executable, "-m", "trainwright", "plan", "run", str(file), f"data={sprites}", *WORDS, "--study"]
    memory = {"object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **memory})
    try:
        second = cluster.add_node(num_cpus=1, **memory)
        options = ["--executor", "ray", "--address", cluster.address, "--workers", "2"]
        driver = subprocess.Popen(
            [*words, str(tmp_path / "ray"), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        runs = tmp_path / "ray" / "runs"
        until = time.monotonic() + 200
        while time.monotonic() < until and driver.poll() is None:
            if sum(len(read_lines(runs / f"base-s{s}" / "metrics.jsonl")) >= 7 for s in (0, 1)) == 2:
                break  # both are past their first checkpoint, one on each node
            time.sleep(0.05)
        cluster.remove_node(second, allow_graceful=False)
        cluster.add_node(num_cpus=1, **memory)
        out, err = driver.communicate(timeout=300)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert driver.returncode == 0, out + err
    events = read_lines(tmp_path / "ray" / "events.jsonl")
    lost = [e["experiment"] for e in events if e["event"] == "lost"]
    assert len(lost) == 1
    resumed = [e["step"] for e in read_lines(runs / lost[0] / "events.jsonl") if e["event"] == "resumed"]
    assert resumed and resumed[0] > 0  # on another node, from its checkpoint
    subprocess.run([*words, str(tmp_path / "here")], check=True, capture_output=True, timeout=280)
    tables = [json.loads((tmp_path / name / "table.json").read_text())["rows"] for name in ("ray", "here")]
    kept = ("name", "outcome", "step", "trained", "verdicts", "scores")
    assert [{k: row[k] for k in kept} for row in tables[0]] == [{k: row[k] for k in kept} for row in tables[1]]
    losses = [{k: v for k, v in row["levels"].items() if k.startswith(("critic/", "generator/"))} for row in tables[0]]
    assert losses == [
        {k: v for k, v in row["levels"].items() if k.startswith(("critic/", "generator/"))} for row in tables[1]
    ]

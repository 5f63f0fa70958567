"""Cost of scheduling: 10,000 experiments on 1,000 simulated workers, a tenth of which are lost, with drivers replaced.

``python -m benchmarks.scheduling`` writes ``results/scheduling.json``. Plan, plan runner, scheduler and journal are the real ones. Only
the trainings are simulated, on a virtual clock.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks.results_io import row, write
from benchmarks.simulated import Simulated
from trainwright.studies.plan import load
from trainwright.studies.plan_runner import PlanRunner
from trainwright.studies.scheduler import drive
from trainwright.studies.study import Study

EXPERIMENTS, SEEDS, WORKERS, LOSS = 2500, 5, 1000, 0.1


def plan_of(experiments: int, seeds: int) -> str:
    """Return a plan in chains of ten; every other experiment has a condition on its parent."""
    lines = [
        "title: many", "recipe: wgan_gp/tiny", f"seeds: {list(range(seeds))}", "experiments:",
        "  - {name: e0, hypothesis: the root of all the others}",
    ]  # fmt: skip
    for i in range(1, experiments):
        parent = f"e{i - 1}" if i % 10 else "e0"
        when = f", when: \"{parent}.verdict == 'healthy' or {parent}['loss'] > 0.5\"" if i % 2 else ""
        lines.append(
            f"  - {{name: e{i}, from: {parent}, change: {{optim.lambda_gp: {11 + i / 10}}}, hypothesis: the {i}th of many{when}, "
            f'expect: "e{i}.score > {parent}.score"}}'
        )
    return "\n".join(lines) + "\n"


def after(count: int) -> tuple[Callable[..., None], Callable[[], bool]]:
    """Return (reported, stop) of a driver that stops once ``count`` experiments have ended."""
    left = [count]

    def reported(*ended: object) -> None:
        left[0] -= 1

    return reported, lambda: left[0] <= 0


def main() -> None:
    """Measure and write the result."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "plan.yaml"
        file.write_text(plan_of(EXPERIMENTS, SEEDS))
        begin = time.perf_counter()
        plan = load(file)
        loading = time.perf_counter() - begin
        begin, rounds = time.perf_counter(), 0
        over = False
        while not over:  # the driver is replaced every 3,000 experiments, and running experiments start again
            study = Study(Path(place) / "study")
            study.open("plan", {"title": "many"})
            runner, cluster = PlanRunner(plan, study.runs), Simulated(WORKERS, LOSS, seed=rounds)
            reported, stop = after(3000)
            over = drive(runner, cluster, study, stop, reported)
            study.close()
            rounds += 1
        seconds = time.perf_counter() - begin
        events = study.events()
        ended = Counter(e["experiment"] for e in events if e["event"] == "ended")
        losses = sum(e["event"] == "lost" for e in events)
        wanted = {f"{n}-s{s}" for n, st in runner.states.items() if st.skipped is None for s in range(SEEDS)}
        failed = sum(e["result"]["status"] == "failed" for e in events if e["event"] == "ended")
    total = len(wanted)
    rows = [
        row("experiments run", total, "", None, "higher", 1, None),
        row("simulated workers", WORKERS, "", None, "higher", 1, None),
        row("workers lost on the way", losses, "", None, "lower", 1, None),
        row("drivers replaced on the way", rounds - 1, "", None, "lower", 1, None),
        row("experiments lost", len(wanted - set(ended)), "", 0, "lower", total, None),
        row("experiments ended twice", sum(c - 1 for c in ended.values()), "", 0, "lower", total, None),
        row("experiments given up after five losses", failed, "", None, "lower", total, None),
        row("overhead an experiment", 1000 * seconds / total, "ms", 50, "lower", total, None),
        row("reading and checking the plan", loading, "s", None, "lower", 1, None),
    ]
    print(write("scheduling", "python -m benchmarks.scheduling", rows))


if __name__ == "__main__":
    main()

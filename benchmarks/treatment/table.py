"""The table of the treatment benchmark, from the runs of the fresh seeds: ``python -m benchmarks.treatment.table``."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.results_io import row, write
from benchmarks.treatment.methods import METHODS
from benchmarks.treatment.runs import HOME, SHARE, TABLE, bar_of, unpack

COMMAND = "python -m benchmarks.treatment.runs && python -m benchmarks.treatment.table"
LABELS = {
    "treatment": "treatment",
    "shuffled": "treatment, diagnosis shuffled",
    "fixed_order": "guides' order, each from the beginning",
    "random": "random search",
    "tpe_hyperband": "TPE and Hyperband",
}


def load() -> dict[tuple[str, int, str], dict[str, Any]]:
    """Return every run of the fresh seeds by (fault, seed, method)."""
    unpack()
    found = {}
    for file in sorted(Path(HOME).glob("*.json")):
        made = json.loads(file.read_text())
        if made["seed"] in TABLE["seeds"]["fresh"]:
            found[made["fault"], made["seed"], made["method"]] = made
    return found


def judged(made: dict[str, Any], bar: float, length: int) -> tuple[bool, float]:
    """Return (repaired, cost in healthy runs); a search costs up to its first trial over the bar, else in full."""
    enough = [t["taken"] for t in made.get("trials", ()) if t["truth"]["quality"] >= bar]
    repaired = made["truth"]["quality"] >= bar
    steps = min(enough) if enough else made["steps"]
    return repaired, steps / length


def bootstrap(ratios: list[float], draws: int = 10_000) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean of paired ratios, on a logarithmic scale."""
    rng = np.random.default_rng(0)
    found = stats.bootstrap((np.log(ratios),), np.mean, n_resamples=draws, method="percentile", rng=rng)
    low, high = found.confidence_interval
    return float(np.exp(low)), float(np.exp(high))


def expected(
    runs: dict[tuple[str, int, str], dict[str, Any]], taken: dict[tuple[str, int], float], lengths: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """Return the mean number of trials of a random search without a budget: one over the share of good trials.

    Trials are independent. Where none was good, the number of trials is taken, which is a lower estimate.
    """
    ratios, good, made = [], 0, 0
    for fault in lengths:
        bar = bar_of(fault)
        trials = [t for (f, _, method), run in runs.items() if (f, method) == (fault, "random") for t in run["trials"]]
        ours = [steps for (f, _), steps in taken.items() if f == fault]
        if not trials or not ours:
            continue
        here = sum(t["truth"]["quality"] >= bar for t in trials)
        good, made = good + here, made + len(trials)
        ratios.append(len(trials) / max(here, 1) / (sum(ours) / len(ours)))
    if ratios:
        yield row("random search: trials that are good enough", 100 * good / made, "%", None, "", made, None)
        mean, span = float(np.exp(np.mean(np.log(ratios)))), max(ratios) - min(ratios)
        label = "steps that a random search without a budget needs on average, over the treatment's (mean of faults)"
        yield row(label, mean, "x", 3, "higher", len(ratios), span)


def main() -> None:
    """Write ``results/treatment.json``."""
    runs = load()
    lengths = {f["name"]: TABLE["families"][f["family"]]["steps"] for f in TABLE["faults"]}
    seeds = TABLE["seeds"]["fresh"]
    rows, detail = [], []
    taken: dict[str, dict[tuple[str, int], float]] = defaultdict(dict)
    healthy_again: list[bool] = []
    for method in METHODS:
        repaired, ratios, steps, tries = [], [], [], []
        for fault, length in lengths.items():
            references = [runs[fault, s, "healthy"]["truth"]["quality"] for s in seeds if (fault, s, "healthy") in runs]
            here = []
            for seed in seeds:
                made = runs.get((fault, seed, method))
                if made is None:
                    continue
                ok, used = judged(made, bar_of(fault), length)
                repaired.append(ok)
                steps.append(used)
                here.append(made["truth"]["quality"] / median(references))
                taken[method][fault, seed] = used if ok else max(used, TABLE["budget"])
                tries.append(
                    sum(a["remedy"] is not None for a in made["attempts"]) if "attempts" in made else made["count"]
                )
            ratios.append(median(here) if here else float("nan"))
            detail.append(
                {"method": method, "fault": fault, "quality over the reference, median": ratios[-1], "runs": len(here)}
            )
        n, label = len(repaired), LABELS[method]
        if not n:
            continue  # not run yet
        ours = method == "treatment"
        high = sum(r >= SHARE for r in ratios)
        spread_steps, spread_tries = max(steps) - min(steps), max(tries) - min(tries)
        rows += [
            row(f"{label}: repaired", 100 * sum(repaired) / n, "%", 90 if ours else None, "higher", n, None),
            row(f"{label}: faults whose median is 95 % of the healthy median", high, f"of {len(lengths)}", None, "higher", n, None),
            row(f"{label}: steps, median, in healthy runs", median(steps), "", 1.5 if ours else None, "lower", n, spread_steps),
            row(f"{label}: attempts, median", median(tries), "", 2 if ours else None, "lower", n, spread_tries),
        ]  # fmt: skip
    for method in (m for m in METHODS[1:] if taken[m]):
        pairs = [taken[method][key] / used for key, used in taken["treatment"].items() if key in taken[method]]
        low, high = bootstrap(pairs)
        label = f"steps of {LABELS[method]} over the treatment's, paired mean (unrepaired: the whole budget)"
        target = 3 if method in ("random", "tpe_hyperband") else 1
        rows.append(row(label, float(np.exp(np.mean(np.log(pairs)))), "x", target, "higher", len(pairs), high - low))
        rows.append(row("... lower end of its 95 % interval (bootstrap)", low, "x", 1, "higher", len(pairs), None))
    rows += expected(runs, taken["treatment"], lengths)
    for fault in lengths:
        references = [runs[fault, s, "healthy"]["truth"]["quality"] for s in seeds if (fault, s, "healthy") in runs]
        healthy_again += [q >= SHARE * median(references) for q in references]
    share = 100 * sum(healthy_again) / len(healthy_again)
    rows.append(
        row(
            "healthy runs that reach 95 % of the median healthy run",
            share,
            "%",
            None,
            "higher",
            len(healthy_again),
            None,
        )
    )
    print(write("treatment", COMMAND, rows, detail=detail))
    for r in rows:
        print(f"{r['metric']:110} {r['value']} {r['unit']}")
    for d in detail:
        print(f"  {d['method']:14} {d['fault']:20} {d['quality over the reference, median']:.3f} ({d['runs']})")


if __name__ == "__main__":
    main()

"""Runs every method on every broken recipe, two at a time with one thread each, and measures the results.

``python -m benchmarks.treatment.runs --seeds fresh`` writes ``runs/treatment/FAULT-SEED-METHOD.json``; a second call resumes. All runs
take about five hours of one core, so they are committed (``results/treatment_runs.jsonl``). Remove that file and ``runs/treatment`` to
start from scratch.
"""

import argparse
import json
import multiprocessing
import shutil
import tempfile
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.treatment.methods import METHODS, Sought, Treatment, make
from trainwright.files import write_text

HOME = Path("runs/treatment")
KEPT = Path(__file__).parents[1] / "results" / "treatment_runs.jsonl"
SHARE = 0.95  # of the healthy reference
TABLE: dict[str, Any] = YAML(typ="safe").load(Path(__file__).with_name("cases.yaml"))


def unpack() -> None:
    """Copy the committed runs to those of this machine; existing ones are not replaced."""
    HOME.mkdir(parents=True, exist_ok=True)
    for text in KEPT.read_text(encoding="utf-8").splitlines() if KEPT.exists() else ():
        made = json.loads(text)
        file = HOME / f"{made['fault']}-{made['seed']}-{made['method']}.json"
        if not file.exists():
            file.write_text(text, encoding="utf-8")


def pack() -> None:
    """Write all runs of the fresh seeds into one file, a line each."""
    fresh = {str(seed) for seed in TABLE["seeds"]["fresh"]}
    files = [f for f in sorted(HOME.glob("*.json")) if f.stem.split("-")[1] in fresh]
    write_text(KEPT, "".join(f.read_text(encoding="utf-8") + "\n" for f in files))


def config_of(fault: dict[str, Any], seed: int, broken: bool) -> Any:
    """Return (family, config) of a case or of its healthy version."""
    from trainwright import catalog as registry

    kind = TABLE["families"][fault["family"]]
    steps = kind["steps"]
    usual = {
        "data": fault["data"], "seed": seed, "steps": steps, "threads": 1, "tracker": "none", "log_every": 5,
        "validate_every": steps // 12, "sample_every": 10**6, "checkpoint_every": steps // 12, **kind["base"],
    }  # fmt: skip
    words = {**usual, **(fault["change"] if broken else {})}
    return registry.load(
        kind["recipe"], [f"{k}={json.dumps(v) if not isinstance(v, str) else v}" for k, v in words.items()]
    )


def measure(family: Any, folder: Path) -> dict[str, float]:
    """Return the quality of a run by measures that no method uses while it works."""
    import torch

    from benchmarks.doctor.truth import quality
    from trainwright.diagnosis.input import open_input
    from trainwright.engine.inference import load
    from trainwright.engine.session import read_config
    from trainwright.runs.folder import Run
    from trainwright.studies.quality import quality as score

    run = Run(folder)
    if run.read()["status"] == "crashed":
        return {"quality": 0.0}
    if family.name == "gaussian_vae":
        found = score(family, open_input(folder, {}).history)
        return {"quality": found.score if found.parts else 0.0, **found.parts}
    data = family.load(read_config(family, run)).open_data(read_config(family, run))
    samples = torch.cat(list(load(family, run).samples(512, seed=1)))
    seen = quality(samples, data.images("train", 10_000), data.images("held_out", 512))
    return {"quality": (seen.get("coverage", 0.0) * seen.get("precision", 0.0)) ** 0.5, **seen}


def case(fault: dict[str, Any], seed: int, method: str) -> dict[str, Any]:
    """Run one method on one broken recipe, or the healthy recipe."""
    import torch

    from trainwright.engine.display import Silent
    from trainwright.studies.executors.inline import InlineExecutor
    from trainwright.studies.jobs import Job, work
    from trainwright.studies.scheduler import drive
    from trainwright.studies.study import Study

    torch.set_num_threads(1)
    begin, place = time.perf_counter(), Path(tempfile.mkdtemp())
    family, config = config_of(fault, seed, method != "healthy")
    steps = TABLE["families"][fault["family"]]["steps"]
    try:
        if method == "healthy":
            job = Job("healthy", str(place / "healthy"), family.name, config.model_dump(mode="json"))
            result = work(job)
            truth = measure(family, place / "healthy")
            return {"steps": result.trained, "verdict": result.verdict, "truth": truth, "trials": []}
        study = Study(place / "study")
        study.open("bench", {"title": method})
        space = TABLE["families"][fault["family"]]["space"]
        source = make(method, family, config, study.runs, int(TABLE["budget"] * steps), space, seed)
        if isinstance(source, Sought):
            source.bar, source.measure = bar_of(fault["name"]), partial(measure, family)
        drive(source, InlineExecutor(Silent(), lambda: False), study)
        study.close()
        made = _treated(source, family) if isinstance(source, Treatment) else _sought(source)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return {**made, "seconds": round(time.perf_counter() - begin, 1)}


def _treated(source: Treatment, family: Any) -> dict[str, Any]:
    best = source.winner
    tried = [
        {
            "remedy": a.remedy.name if a.remedy else None,
            "playbook": a.remedy.playbook if a.remedy else None,
            "kept": a.kept,
            "because": a.because,
            "change": dict(a.job.change),
            "fork": a.job.fork,
            "trained": a.result.trained if a.result else 0,
            "symptoms": list(a.result.symptoms) if a.result else [],
            "causes": list(a.result.causes) if a.result else [],
        }
        for a in source.attempts
    ]
    truth = measure(family, Path(best.job.folder))
    return {
        "steps": source.trained,
        "recovered": source.recovered,
        "truth": truth,
        "attempts": tried,
        "ending": source.ending,
    }


def bar_of(fault: str) -> float:
    """Return the bar for a repair: 95 % of the weakest healthy run of the fresh seeds, which must exist."""
    files = [HOME / f"{fault}-{seed}-healthy.json" for seed in TABLE["seeds"]["fresh"]]
    return SHARE * min(json.loads(file.read_text())["truth"]["quality"] for file in files)


def _sought(source: Sought) -> dict[str, Any]:
    trials = source.measured
    best = max(trials, key=lambda t: t["truth"]["quality"], default=None)
    return {
        "steps": source.spent["steps"], "trials": trials, "count": len(source.trials),
        "truth": best["truth"] if best else {"quality": 0.0},
    }  # fmt: skip


def _job(fault: dict[str, Any], seed: int, method: str) -> str:
    file = HOME / f"{fault['name']}-{seed}-{method}.json"
    if file.exists():
        return f"{file.stem}: kept"
    try:
        text = json.dumps(
            {"fault": fault["name"], "seed": seed, "method": method, **case(fault, seed, method)}, default=float
        )
    except Exception:
        return f"{file.stem}: {traceback.format_exc()}"
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".tmp")
    draft.write_text(text)
    draft.rename(file)
    return f"{file.stem}: done"


def main() -> None:
    """Run missing cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", choices=["pilot", "fresh"], default="fresh")
    parser.add_argument("--methods", default="healthy," + ",".join(METHODS))
    parser.add_argument("--only", default="", help="faults whose name holds this")
    parser.add_argument("--processes", type=int, default=2)
    parsed = parser.parse_args()
    unpack()
    chosen = [
        (fault, seed, method)
        for seed in TABLE["seeds"][
            parsed.seeds
        ]  # all methods of a seed before the next, so that incomplete results can be compared
        for method in parsed.methods.split(",")
        for fault in TABLE["faults"]
        if parsed.only in fault["name"]
    ]
    context = multiprocessing.get_context("spawn")
    done = 0
    for batch in (
        [c for c in chosen if c[2] == "healthy"],
        [c for c in chosen if c[2] != "healthy"],
    ):  # the bar for a repair must be known first
        with ProcessPoolExecutor(parsed.processes, mp_context=context) as pool:
            for job in as_completed([pool.submit(_job, *one) for one in batch]):
                done += 1
                print(f"{done}/{len(chosen)} {job.result()}", flush=True)
                pack()


if __name__ == "__main__":
    main()

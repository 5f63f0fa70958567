"""Runs the settings of the benchmark, two at a time, and stores the doctor's input and the truth.

``python -m benchmarks.doctor.runs --half tuning`` writes ``runs/doctor/NAME.json``; a second call resumes.
"""

import argparse
import json
import multiprocessing
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks.doctor.settings import STEPS, Setting, settings

HOME = Path("runs/doctor")
RECIPES = {
    "wgan_gp": "wgan_gp/tiny", "gaussian_vae": "gaussian_vae/small", "sequence_vae": "sequence_vae/gaussian_mixture_sound",
    "sequence_tiles": "sequence_vae/sokoban", "latent_diffusion": "latent_diffusion/small",
    "video_vaegan": "video_vaegan/square",
}  # fmt: skip
SMALL = {  # what makes a recipe small enough for the benchmark
    "wgan_gp": ["size=16", "n_critic=2"],
    "latent_diffusion": [
        "size=16", "vae.widths=[16, 32]", "autoencoder_steps=500", "multipliers=[1, 2]", "blocks=1", "sampler_steps=20",
        "probe_count=64", "probe_stride=2", "learning_rate=0.001", "ema_decay=0.98",
    ],
    "video_vaegan": [
        "size=32", "nesting=wubu", "regions=hybrid", "adaptive=0.5", "motion=true", "gen_film=true", "latent_dim=16",
        "tangent_dim=64", "disc_features=32", "disc_max_features=128", "lambda_kl=1e-6", "probe_count=32", "probe_stride=2",
        "reach=quarter",
    ],
}  # fmt: skip
STOPPED = ("stopped_at", "signal", "seconds")  # of a run that is stopped from outside


def run(setting: Setting) -> dict[str, Any]:
    """Train one setting; return the doctor's input, the steps of its examinations, the truth, and the cost."""
    import torch

    torch.set_num_threads(1)
    begin, cpu = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    way = _loop if setting.kind in ("gan", "vae") else _stopped if "stopped_at" in setting.changes else _family
    made = way(setting)
    made["seconds"] = round(time.perf_counter() - begin, 2)
    made["cpu_seconds"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_utime - cpu, 2)
    return {"name": setting.name, **made}


def _loop(setting: Setting) -> dict[str, Any]:
    import trainwright
    from benchmarks.doctor.loops import LOOPS, images
    from benchmarks.doctor.truth import quality

    options = {"steps": STEPS[setting.kind], **setting.changes}
    if options.pop("range", None) == "unit":
        options["distort"] = lambda x: (x + 1) / 2

    def watch(**given: Any) -> Any:
        return trainwright.watch(**given, say=None)

    finished, samples = LOOPS[setting.kind](options, watch)
    history = finished.history()
    real, held = images(options["data"])
    return {
        "rows": finished.rows,
        "settings": finished.settings,
        "facts": history.facts,
        "total": options["steps"],
        "looks": [step for step, *_ in finished.verdicts],
        "cost": finished.cost,
        "truth": quality(samples, real, held),
    }


def _words(setting: Setting) -> tuple[str, int, list[str]]:
    """Return (recipe, steps, overrides) of one of Trainwright's own families."""
    recipe = RECIPES[setting.kind]
    steps = setting.changes.get("steps", STEPS[setting.kind])
    usual = [
        f"steps={steps}", "threads=1", "tracker=none", "log_every=5", f"validate_every={steps // 12}", "on_failure=continue",
        f"sample_every={steps}", f"checkpoint_every={steps}", *SMALL.get(setting.kind, []),
    ]  # fmt: skip
    chosen = {word.partition("=")[0]: word for word in usual} | {
        k: f"{k}={json.dumps(v) if not isinstance(v, str) else v}"
        for k, v in setting.changes.items()
        if k not in STOPPED
    }
    return recipe, steps, list(chosen.values())


def _stopped(setting: Setting) -> dict[str, Any]:
    """Run a process that gets ``signal`` at a step; after ``seconds`` the doctor examines it from outside."""
    from trainwright.diagnosis.input import open_input
    from trainwright.runs.folder import read_lines

    recipe, steps, words = _words(setting)
    folder = Path(tempfile.mkdtemp()) / "run"
    command = [sys.executable, "-m", "trainwright", "train", recipe, *words, "--run", str(folder)]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and (
            not _rows(folder) or _rows(folder)[-1]["step"] < setting.changes["stopped_at"]
        ):
            time.sleep(0.2)
        process.send_signal(signal.Signals[setting.changes["signal"]])
        trained = time.perf_counter() - begin
        time.sleep(setting.changes["seconds"])
        history = open_input(folder, {}).history
        rows = read_lines(folder / "metrics.jsonl")
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder.parent, ignore_errors=True)
    last = rows[-1]["step"]
    return {
        "rows": rows, "settings": dict(history.settings), "facts": dict(history.facts), "total": steps, "looks": [],
        "cost": rows[-1].get("monitor/time_share", 0.0), "status": "running", "truth": {"waited": setting.changes["seconds"]},
        "waited_share": setting.changes["seconds"] / (trained * steps / last),
    }  # fmt: skip


def _rows(folder: Path) -> list[dict[str, Any]]:
    from trainwright.runs.folder import read_lines

    return read_lines(folder / "metrics.jsonl") if (folder / "metrics.jsonl").exists() else []


def _family(setting: Setting) -> dict[str, Any]:
    from benchmarks.doctor.truth import levels_truth, quality
    from trainwright import catalog as registry
    from trainwright.config.base import flatten
    from trainwright.engine.display import Silent
    from trainwright.engine.session import train
    from trainwright.runs.folder import Run, read_lines

    recipe, steps, words = _words(setting)
    family, config = registry.load(recipe, words)
    folder = Path(tempfile.mkdtemp()) / "run"
    try:
        outcome = train(family, config, Run(folder), Silent())
        rows = read_lines(Run(folder).metrics)
        facts = Run(folder).read()
        data = family.load(config).open_data(config)
        from trainwright.engine.inference import load

        trained = load(family, Run(folder))
        import torch

        if setting.kind.startswith("sequence"):
            truth = levels_truth(trained.model, data)
        else:
            made = torch.cat(list(trained.samples(512, seed=1)))
            truth = quality(made, data.images("train", 10_000), data.images("held_out", 512))
        events = [e for e in Run(folder).events() if e["event"] in ("non_finite",)]
    finally:
        shutil.rmtree(folder.parent, ignore_errors=True)
    looks = sorted(
        {
            r["step"]
            for r in rows
            if any(k.startswith(("samples/", "critic/wasserstein_heldout", "kl/nats_heldout")) for k in r)
        }
    )
    found = dict(facts.get("facts", {}))
    if events:
        found["non_finite"] = {"step": events[0]["step"], "message": events[0]["message"]}
    return {
        "rows": rows,
        "settings": flatten(config),
        "facts": found,
        "total": steps,
        "looks": looks,
        "cost": facts.get("monitor_share", 0.0),
        "status": outcome.status,
        "truth": truth,
    }


def _job(setting: Setting) -> tuple[str, str]:
    file = HOME / f"{setting.name}.json"
    if file.exists():
        return setting.name, "kept"
    try:
        text = json.dumps(run(setting), default=float)
    except Exception:
        return setting.name, traceback.format_exc()
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".tmp")
    draft.write_text(text)
    draft.rename(file)
    return setting.name, "done"


def main() -> None:
    """Run missing settings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=["tuning", "frozen"])
    parser.add_argument("--only", default="", help="settings whose name holds this")
    parser.add_argument("--processes", type=int, default=2)
    parsed = parser.parse_args()
    chosen = [s for s in settings() if parsed.half in (None, s.half) and parsed.only in s.name]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(parsed.processes, mp_context=context) as pool:
        jobs = [pool.submit(_job, setting) for setting in chosen]
        for i, job in enumerate(as_completed(jobs), 1):
            name, how = job.result()
            print(f"{i}/{len(chosen)} {name}: {how}", flush=True)


if __name__ == "__main__":
    main()

"""torchmortem, thermoclaw and torch-audit on the public loops (``pip install 'trainwright[bench]'``).

``python -m benchmarks.public.packages --half frozen`` trains each loop and its twin once more. The three packages are attached to every
network and optimizer of the loop, as their pages show. They have no names of causes like ours, so only warnings count. They are told
the networks, which a watch finds by itself, and are attached after the first step.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from benchmarks.public.run import HERE, split
from trainwright.diagnosis import watch as module

RESULTS = HERE.parent / "results" / "public_packages.jsonl"
NAMES = ("torchmortem", "thermoclaw", "torch-audit")
LIMIT = 400  # seconds of one run


class Attached(module.Watch):
    """Watch that judges nothing and attaches the other packages to what its observer finds."""

    def __init__(self, total: int | None = None, **options: Any) -> None:
        super().__init__(total, say=None, **{k: v for k, v in options.items() if k not in ("say", "sample", "real")})
        self.attached: list[tuple[Any, Any, Any, Any]] = []
        self.said = dict.fromkeys(NAMES, False)

    def __call__(self, step: int, signals: Any = None, **more: Any) -> None:
        """Pass the first loss on to the packages."""
        given = {**(signals or {}), **more}
        if not self.attached:
            self.observer.record(step, given, module.user_frame)
            self._attach()
            return
        loss = next((float(v) for k, v in given.items() if "loss" in k.lower()), 0.0)
        for autopsy, observer, detector, _ in self.attached:
            autopsy.step(loss=loss)
            observer.step(loss=loss)
            detector.step()

    def _attach(self) -> None:
        from thermoclaw import CollapseDetector, Observer
        from torch_audit import autopatch
        from torchmortem import Autopsy

        view = self.observer.view()
        for network in view.networks:
            record = view.record_of(network)
            if record is None:
                continue
            optimizer = record.optimizer()
            autopsy = Autopsy(network.module, optimizer=optimizer, sampling="fast")
            autopsy.attach()
            auditor = autopatch(network.module, optimizer=optimizer, every_n_steps=50, reporters=[], run_static=True)
            observer, detector = Observer(network.module, optimizer), CollapseDetector(network.module, optimizer)
            self.attached.append((autopsy, observer, detector, auditor))

    def close(self) -> Any:
        """Ask the packages."""
        from thermoclaw import diagnose
        from torch_audit.core import Severity as Audited
        from torchmortem.types import Severity

        for autopsy, observer, detector, auditor in self.attached:
            autopsy.detach()
            report = autopsy.get_report()
            self.said["torchmortem"] |= (
                any(f.severity >= Severity.WARNING for f in report.findings) if report else False
            )
            self.said["thermoclaw"] |= not diagnose(observer).healthy or bool(detector.is_collapsing)
            self.said["torch-audit"] |= any(f.severity >= Audited.WARN for f in auditor.finish(report=False).findings)
            auditor.unpatch()
        self.observer.close()
        return self.said


def judge(name: str, fixed: bool) -> dict[str, Any]:
    """Train one loop in this process and return which package warned."""
    import trainwright

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    trainwright.watch = lambda total=None, **options: Attached(total, **options)
    watch = importlib.import_module(f"benchmarks.public.loops.{name}").loop(fixed)
    return {"case": name, "fixed": fixed, "networks": len(watch.attached), **watch.close()}


def run(name: str, fixed: bool) -> dict[str, Any]:
    """Train one loop in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.public.packages", "--one", name, *(["--fixed"] if fixed else [])]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=environment, check=False)
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))
    except subprocess.TimeoutExpired:
        return {"case": name, "fixed": fixed, "error": f"took more than {LIMIT} seconds"}
    except (ValueError, IndexError):
        return {"case": name, "fixed": fixed, "error": done.stderr.strip()[-300:]}


def main() -> None:
    """Run the cases of a half."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=("tuning", "frozen"), default="frozen")
    parser.add_argument("--one")
    parser.add_argument("--fixed", action="store_true")
    parser.add_argument("--every", type=int, default=1, help="only every so many cases")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.one:
        print("\n" + json.dumps(judge(arguments.one, arguments.fixed)))
        return
    cases = split()[arguments.half][:: arguments.every]
    found: list[dict[str, Any]] = []
    with ThreadPoolExecutor(arguments.workers) as pool:
        for result in pool.map(lambda job: run(*job), [(c, f) for c in cases for f in (False, True)]):
            found.append(result)
            arguments.out.write_text("".join(json.dumps(r) + "\n" for r in found))
    sound = [r for r in found if "error" not in r and r["networks"]]
    for name in NAMES:
        for fixed in (False, True):
            part = [r[name] for r in sound if r["fixed"] is fixed]
            print(f"{name}: {'twins' if fixed else 'faulty loops'} with a warning: {sum(part)} of {len(part)}")
    print(f"{len(found) - len(sound)} runs without a result")


if __name__ == "__main__":
    main()

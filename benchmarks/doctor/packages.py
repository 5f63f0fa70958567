"""torchmortem and thermoclaw on the same loops (``pip install 'trainwright[bench]'``).

``python -m benchmarks.doctor.packages`` trains one of the three frozen settings of each fault and oddity of the two loops again. Both
packages are attached to every network as their pages show. It writes ``results/packages.json``. Neither package has our names of
symptoms, so only warnings count, on faults and on healthy runs. The runs have half the steps, because the packages are slow.
"""

import warnings
from typing import Any

import torch
from torch import nn

from benchmarks.doctor import loops
from benchmarks.doctor.settings import STEPS, Setting, settings
from benchmarks.results_io import row, write
from trainwright.diagnosis.watch import Watch


def observed(setting: Setting) -> dict[str, bool]:
    """Return for each package if it warned at the end of the run."""
    from thermoclaw import CollapseDetector, Observer, diagnose
    from torchmortem import Autopsy
    from torchmortem.types import Severity

    attached: list[tuple[nn.Module, torch.optim.Optimizer, Any, Any, Any]] = []
    made: list[torch.optim.Optimizer] = []
    networks: dict[str, nn.Module] = {}
    plain_adam, plain_adamw = torch.optim.Adam, torch.optim.AdamW

    def noticing(kind: Any) -> Any:
        def build(*arguments: Any, **options: Any) -> Any:
            made.append(kind(*arguments, **options))
            return made[-1]

        return build

    class Observing(Watch):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options, say=None, budget=1e-9)
            networks.update(options["networks"])
            optimizers = made if len(made) == len(networks) else made * len(networks)
            for network, optimizer in zip(networks.values(), optimizers, strict=True):
                autopsy = Autopsy(network, optimizer=optimizer, sampling="fast")
                autopsy.attach()
                attached.append(
                    (network, optimizer, autopsy, Observer(network, optimizer), CollapseDetector(network, optimizer))
                )

        def __call__(self, step: int, signals: Any = None, **more: Any) -> Any:
            loss = next(
                (v for k, v in {**(signals or {}), **more}.items() if "loss" in k.lower() or k.startswith("D_")), 0.0
            )
            for _, _, autopsy, observer, detector in attached:
                autopsy.step(loss=float(loss))
                observer.step(loss=float(loss))
                detector.step()
            return None

    options = {"steps": STEPS[setting.kind] // 2, **setting.changes}
    if options.pop("range", None) == "unit":
        options["distort"] = lambda x: (x + 1) / 2
    torch.optim.Adam, torch.optim.AdamW = noticing(plain_adam), noticing(plain_adamw)  # type: ignore[misc]
    try:
        loops.LOOPS[setting.kind](options, Observing)
    finally:
        torch.optim.Adam, torch.optim.AdamW = plain_adam, plain_adamw  # type: ignore[misc]
    said = {"torchmortem": False, "thermoclaw": False}
    for _, _, autopsy, observer, detector in attached:
        autopsy.detach()
        report = autopsy.get_report()
        said["torchmortem"] |= any(f.severity >= Severity.WARNING for f in report.findings) if report else False
        said["thermoclaw"] |= not diagnose(observer).healthy or bool(detector.is_collapsing)
    return said


def main() -> None:
    """Write the result."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    seen: list[tuple[Setting, dict[str, bool]]] = []
    failed: dict[str, int] = {"torchmortem": 0, "thermoclaw": 0}
    for setting in settings():
        if setting.half == "frozen" and setting.kind in ("gan", "vae") and setting.name.endswith("-3"):
            try:
                seen.append((setting, observed(setting)))
                print(setting.name, seen[-1][1], flush=True)
            except Exception as error:
                print(setting.name, "failed:", type(error).__name__, error, flush=True)
                failed = {k: v + 1 for k, v in failed.items()}
    rows = []
    for name in ("torchmortem", "thermoclaw"):
        sick, well = [s[name] for t, s in seen if t.symptom], [s[name] for t, s in seen if not t.symptom]
        rows.append(
            row(f"{name}: faulty runs with a warning", sum(sick) / len(sick), "", None, "higher", len(sick), None)
        )
        rows.append(
            row(f"{name}: healthy twins with a warning", sum(well) / len(well), "", None, "lower", len(well), None)
        )
    print(write("packages", "python -m benchmarks.doctor.packages", rows), failed)


if __name__ == "__main__":
    main()

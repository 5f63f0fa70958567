"""Trains one case and its twin without judging them: losses over time, statistics of samples, and a grid of samples for the eyes.

``python -m benchmarks.public.trial NAME``
"""

import importlib
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

from trainwright.diagnosis import watch as module

OUT = Path(tempfile.gettempdir()) / "trial"


class Silent(module.Watch):
    """Watch that keeps what it is given, and neither judges nor samples before the end."""

    def __init__(self, total: int | None = None, **options: object) -> None:
        self.total, self.options, self.kept = total, options, []
        self.rows: list[dict[str, float]] = []
        self.observer = SimpleNamespace(names={})

    def close(self) -> None:
        """Do nothing."""

    def __call__(self, step: int, signals=None, **more) -> None:  # type: ignore[no-untyped-def]
        """Keep the numbers of a step."""
        self.rows.append(
            {"step": int(step), **{k: float(v) for k, v in {**(signals or {}), **more}.items() if v is not None}}
        )


def describe(x: torch.Tensor) -> str:
    """Return shape and statistics of samples in one line."""
    over = f"spread over samples {x.std(0).mean():.3f}"
    return f"{tuple(x.shape)} mean {x.mean():.3f} std {x.std():.3f} min {x.min():.3f} max {x.max():.3f} {over}"


def main() -> None:
    """Train a case and its twin."""
    torch.set_num_threads(1)
    OUT.mkdir(exist_ok=True)
    import trainwright

    module.Watch = Silent  # type: ignore[misc]
    trainwright.watch = lambda total=None, **options: Silent(total, **options)
    name = sys.argv[1]
    case = importlib.import_module(f"benchmarks.public.loops.{name}")
    print(case.CASE)
    for fixed in (False, True):
        begin = time.process_time()
        watch = case.loop(fixed)
        seconds = time.process_time() - begin
        print(f"-- {'fixed' if fixed else 'fault'}: {seconds:.1f} CPU s, {len(watch.rows)} rows")
        rows = watch.rows
        for i in sorted({0, 1, len(rows) // 8, len(rows) // 4, len(rows) // 2, 3 * len(rows) // 4, len(rows) - 1}):
            print("   ", {k: float(f"{v:.4g}") for k, v in rows[i].items()})
        sample, real = watch.options.get("sample"), watch.options.get("real")
        if sample is None:
            continue
        s = torch.as_tensor(sample(64)).detach().float()
        print("    samples", describe(s))
        if torch.is_tensor(real):
            print("    real   ", describe(real.float()))
        if s.ndim == 4 and s.shape[1] in (1, 3):
            lo, hi = (real.min(), real.max()) if torch.is_tensor(real) else (s.min(), s.max())
            x = ((s[:32] - lo) / (hi - lo)).clamp(0, 1).nan_to_num(0)
            c, h, w = x.shape[1:]
            x = x.reshape(4, 8, c, h, w).permute(0, 3, 1, 4, 2).reshape(4 * h, 8 * w, c).expand(-1, -1, 3)
            picture = Image.fromarray((x.numpy() * 255).astype(np.uint8)).resize((8 * w * 4, 4 * h * 4), Image.NEAREST)
            picture.save(OUT / f"{name}-{'fixed' if fixed else 'fault'}.png")


if __name__ == "__main__":
    main()

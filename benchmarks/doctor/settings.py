"""Every run of the benchmark: the injected fault, its name, and the half in which it counts. ``settings.yaml`` lists them.

The halves are split by family of settings: they differ in data, size, batch, seed and strength of the fault. Thresholds were set on
``tuning`` only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML

Half = Literal["tuning", "frozen"]
HALVES: tuple[Half, ...] = ("tuning",) * 3 + ("frozen",) * 3

TABLE: dict[str, Any] = YAML(typ="safe").load(Path(__file__).with_suffix(".yaml"))
STEPS: dict[str, int] = TABLE["steps"]


@dataclass(frozen=True)
class Setting:
    """One run.

    Attributes:
        name: unique.
        half: ``tuning`` or ``frozen``.
        kind: ``gan`` and ``vae`` are the loops of :mod:`benchmarks.doctor.loops`; ``wgan_gp`` and ``gaussian_vae`` Trainwright's own.
        symptom: the injected symptom; None for a healthy run.
        cause: the cause that should be named first; None for a healthy run.
        odd: for a healthy run, the oddity that it shows.
        onset: share of the budget at which the fault starts (0: from the first step).
        changes: changes of the base setting.
    """

    name: str
    half: Half
    kind: str
    symptom: str | None
    cause: str | None
    odd: str = ""
    onset: float = 0.0
    changes: Mapping[str, Any] = field(default_factory=dict)


def settings() -> Iterator[Setting]:
    """Return all runs, tuning first."""
    found = []
    for fault in TABLE["faults"]:
        kind, symptom, cause = fault["kind"], fault["symptom"], fault["cause"]
        for i, (half, changes) in enumerate(_six(kind, fault["strengths"])):
            begins = next((changes[key] for key in ("dies_at", "scaled_at", "stopped_at") if key in changes), 0)
            onset = begins / STEPS[kind]
            found.append(Setting(f"{symptom}-{kind}-{cause}-{i}", half, kind, symptom, cause, "", onset, changes))
    for twin in TABLE["healthy"]:
        kind, odd = twin["kind"], twin["odd"]
        slug = odd.split(":")[0].replace(" ", "_")
        for i, (half, changes) in enumerate(_six(kind, twin["variants"])):
            found.append(Setting(f"healthy-{kind}-{slug}-{i}", half, kind, None, None, odd, 0.0, changes))
    yield from sorted(found, key=lambda s: s.half != "tuning")


def _six(kind: str, changes: list[dict[str, Any]]) -> Iterator[tuple[Half, dict[str, Any]]]:
    """Yield the six bases of a kind with their changes."""
    for half, base, change in zip(HALVES, TABLE["bases"][kind], changes, strict=True):
        yield half, {**base, **change}

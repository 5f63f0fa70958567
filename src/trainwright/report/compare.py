"""Comparison of runs: differences of config, data and code, effect sizes, curves and samples.

Runs that differ only in their seed form one set. Over two or more seeds the effect has an interval.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainwright import catalog as registry
from trainwright.config.base import flatten
from trainwright.engine.session import read_config
from trainwright.errors import UserError
from trainwright.report.study_page import curves, render, strips
from trainwright.runs.folder import Run
from trainwright.studies.effect import Effect, effect
from trainwright.studies.jobs import Result, read
from trainwright.studies.summary import row

IGNORED = ("train.seed", "hypothesis", "recipe", "train.threads", "train.on_failure", "train.tracker")


@dataclass(frozen=True)
class RunSet:
    """Runs that differ only in their seed: results by seed."""

    name: str
    runs: dict[int, Run]
    results: dict[int, Result]
    settings: dict[str, Any]
    facts: dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """Sets of runs, their differences, and the effect of each compared with the first, by signal."""

    family: str
    run_sets: list[RunSet]
    differences: list[tuple[str, list[str]]]
    effects: dict[str, dict[str, Effect]]


def compare(runs: Sequence[Run]) -> Comparison:
    """Read the runs and compare them.

    Raises:
        UserError: they are of different families.
    """
    kinds = dict.fromkeys(run.read()["family"] for run in runs)
    if len(kinds) > 1:
        raise UserError(f"runs of different families cannot be compared: {', '.join(kinds)}.")
    family = registry.family(next(iter(kinds)))
    run_sets: dict[str, RunSet] = {}
    names = distinct_names([run.folder for run in runs])
    repeated: list[str] = []
    for run in {run.folder.resolve(): run for run in runs}.values():
        flat, facts = flatten(read_config(family, run)), run.read()
        key = repr(
            [
                {k: v for k, v in flat.items() if k not in IGNORED},
                facts["data"]["identity"],
                facts["code"],
                facts.get("forked_at"),
            ]
        )
        name = names[run.folder]
        run_set = run_sets.setdefault(key, RunSet(name, {}, {}, flat, facts))
        seed = flat["train.seed"]
        if seed in run_set.runs:  # another run of the same seed is no evidence on chance
            repeated.append(f"{name} repeats {names[run_set.runs[seed].folder]}")
            continue
        run_set.runs[seed], run_set.results[seed] = run, read(family, run)
    found = list(run_sets.values())
    signals = ("score", *(part.signal for part in family.quality))
    effects: dict[str, dict[str, Effect]] = {}
    for other in found[1:]:
        seen = {s: effect(_values(other, s), _values(found[0], s)) for s in signals}
        effects[other.name] = {s: e for s, e in seen.items() if e is not None}
    differences = _differences(found)
    if repeated:
        differences.append(("skipped", ["; ".join(repeated), *[""] * (len(found) - 1)]))
    return Comparison(family.name, found, differences, effects)


def distinct_names(folders: Sequence[Path]) -> dict[Path, str]:
    """Return a name for each folder: the shortest end of its path that no other folder shares."""
    names: dict[Path, str] = {}
    for folder in folders:
        own = folder.resolve().parts
        others = [other.resolve().parts for other in folders if other.resolve() != folder.resolve()]
        count = next(n for n in range(1, len(own) + 1) if all(own[-n:] != other[-n:] for other in others))
        names[folder] = "/".join(own[-count:])
    return names


def build_comparison(found: Comparison, file: Path) -> Path:
    """Write the page and return its path."""
    rows = []
    for run_set in found.run_sets:
        results = {str(run.folder): run_set.results[seed] for seed, run in run_set.runs.items()}
        made = row(run_set.name, results, "", "", hypothesis=run_set.facts.get("hypothesis", ""))
        made["effects"] = {s: {**asdict(e), "text": str(e)} for s, e in found.effects.get(run_set.name, {}).items()}
        rows.append(made)
    show = [name for name in dict.fromkeys(s for e in found.effects.values() for s in e) if name != "score"]
    run_sets = [(run_set.name, list(run_set.runs.values())) for run_set in found.run_sets]
    return render(
        file, title="Comparison", headline=headline(found), rows=rows, show=show, differences=found.differences,
        columns=[run_set.name for run_set in found.run_sets], curves=curves(found.family, run_sets, show), strips=strips(run_sets),
    )  # fmt: skip


def headline(found: Comparison) -> str:
    """Return the verdict on quality, in a clause for each set compared with the first."""
    first = found.run_sets[0]
    if len(found.run_sets) == 1:
        scores = [r.score for r in first.results.values() if r.score is not None]
        spread = f"quality {min(scores):.3f} to {max(scores):.3f}" if scores else "quality was not measured"
        return f"{len(first.runs)} runs that differ only in their seed: {spread}."
    said = []
    for run_set in found.run_sets[1:]:
        seen = found.effects[run_set.name].get("score")
        if seen is None:
            said.append(f"{run_set.name}: quality was not measured")
        elif seen.n < 2:
            said.append(
                f"{run_set.name}: quality {seen.mean:+.3f} compared with {first.name}, from one seed, so chance is not ruled out"
            )
        else:
            word = ("better" if seen.mean > 0 else "worse") if seen.clear else "not clearly different"
            said.append(f"{run_set.name} is {word}: quality {seen} over {seen.n} seeds")
    return "; ".join(said) + "."


def _differences(run_sets: Sequence[RunSet]) -> list[tuple[str, list[str]]]:
    found = []
    for path in dict.fromkeys(p for g in run_sets for p in g.settings if p not in IGNORED):
        values = [str(g.settings.get(path, "")) for g in run_sets]
        if len(set(values)) > 1:
            found.append((path, values))
    for label, get in (
        ("data", lambda f: f["data"]["identity"]),
        ("code", lambda f: f["code"] or f"Trainwright {f['trainwright']}"),
        ("forked from", lambda f: f"{f['parent']} at step {f['forked_at']}" if f.get("forked_at") else ""),
    ):
        values = [str(get(g.facts)) for g in run_sets]
        if len(set(values)) > 1:
            found.append((label, values))
    return [*found, ("seeds", [", ".join(str(s) for s in g.runs) for g in run_sets])]


def _values(run_set: RunSet, signal: str) -> dict[int, float]:
    found = {s: r.score if signal == "score" else r.parts.get(signal) for s, r in run_set.results.items()}
    return {s: v for s, v in found.items() if v is not None}

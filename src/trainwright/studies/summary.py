"""The table of a study, ``table.json``, for the report: a row per experiment with change, hypothesis, outcome and cost."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trainwright.files import write_json
from trainwright.studies.effect import effect
from trainwright.studies.jobs import Result
from trainwright.studies.plan_runner import PlanRunner, together
from trainwright.studies.search import Search, Trial
from trainwright.studies.study import plain
from trainwright.studies.treatment import Attempt, Treatment, succeeded


def row(
    name: str,
    runs: Mapping[str, Result],
    outcome: str,
    because: str,
    *,
    parent: str | None = None,
    change: Mapping[str, Any] | None = None,
    fork: str | None = None,
    hypothesis: str = "",
    expectation: str = "",
    source: str = "",
) -> dict[str, Any]:
    """Return one row; ``runs`` maps folder names to results."""
    result = together(list(runs.values())) if runs else None
    facts: dict[str, Any] = {
        "name": name,
        "runs": list(runs),
        "parent": parent,
        "change": dict(change or {}),
        "fork": _forked(fork),
        "hypothesis": hypothesis,
        "expectation": expectation,
        "source": source,
        "outcome": outcome,
        "because": because,
    }
    if result is not None:
        facts |= {k: v for k, v in asdict(result).items() if k not in ("levels",)}
        facts["scores"] = [r.score for r in runs.values()]
        facts["verdicts"] = [r.verdict for r in runs.values()]
        facts["levels"] = dict(result.levels)
    return plain(facts)


def _forked(fork: str | None) -> str | None:
    """Return ``step_00000080`` or ``healthy`` in words."""
    if fork is None:
        return None
    if fork.startswith("step_"):
        return f"forked at step {int(fork.removeprefix('step_'))}"
    return f"forked from the {'last healthy' if fork == 'healthy' else 'last'} checkpoint"


def of_plan(runner: PlanRunner) -> dict[str, Any]:
    """Return the table of a plan, with the effect of each change on quality and shown signals over seeds."""
    rows = []
    single = len(runner.plan.head.seeds) == 1
    for name, state in runner.states.items():
        e = state.experiment
        outcome, because = runner.outcome(name)
        runs = {name if single else f"{name}-s{seed}": r for seed, r in sorted(state.results.items())}
        made = row(
            name, runs, outcome, because, parent=e.entry.parent, change=e.change,
            fork=None if e.entry.begin == "start" else e.entry.begin, hypothesis=e.entry.hypothesis, expectation=e.entry.expect or "",
        )  # fmt: skip
        if e.entry.parent is not None and runs:
            before = runner.states[e.entry.parent].results
            made["effects"] = plain(_effects(state.results, before, runner.plan.head.show))
        rows.append(made)
    words = [r["outcome"] for r in rows]
    counts = ", ".join(
        f"{words.count(w)} {w}" for w in ("supported", "contradicted", "undecided", "not run") if w in words
    )
    ending = f" Stopped: {runner.stopped}." if runner.stopped else ""
    return {
        "headline": f"{runner.plan.head.title}: {counts}.{ending}",
        "show": list(runner.plan.head.show),
        "rows": rows,
    }


def _effects(after: Mapping[int, Result], before: Mapping[int, Result], signals: Sequence[str]) -> dict[str, Any]:
    found = {}
    for name in ("score", *signals):
        a, b = ({s: v for s, r in rs.items() if (v := _value(r, name)) is not None} for rs in (after, before))
        seen = effect(a, b)
        if seen is not None:
            found[name] = {**asdict(seen), "text": str(seen)}
    return found


def _value(result: Result, name: str) -> float | None:
    return result.score if name == "score" else result.levels.get(name)


def of_treatment(treatment: Treatment) -> dict[str, Any]:
    """Return the table of a treatment."""
    rows = []
    for a in treatment.attempts:
        if a.result is None:
            continue
        rows.append(
            row(
                a.job.name,
                {a.job.name: a.result},
                _word(a),
                a.because or a.result.reason,
                parent=Path(a.job.parent).name if a.job.parent else None,
                change=a.job.change,
                fork=a.job.fork,
                hypothesis=a.why,
                expectation=a.job.expectation,
                source=a.remedy.source if a.remedy else "",
            )
        )
    if treatment.current is None:
        return {"headline": "Not judged yet.", "show": [], "rows": rows}
    tried = sum(a.remedy is not None and a.result is not None for a in treatment.attempts)
    steps = treatment.trained / max(1, treatment.total)
    state = "Recovered" if treatment.recovered else "Not recovered" if treatment.ending else "Under treatment"
    why = "" if treatment.recovered or not treatment.ending else f" ({treatment.ending})"
    noun = "remedy" if tried == 1 else "remedies"
    best = treatment.winner.job.name
    headline = f"{state} after {tried} {noun} and {steps:.2f} times the steps of one run{why}. Best run: {best}."
    return {"headline": headline, "show": [], "rows": rows, "best": best, "recovered": treatment.recovered}


def of_search(search: Search) -> dict[str, Any]:
    """Return the table of a search, best trials first."""
    best = search.best()
    first = search.head.objectives[0]
    sign = -1 if first.direction == "maximize" else 1

    def order(trial: Trial) -> tuple[int, float]:
        rank = 0 if trial in best else ("complete", "pruned", "infeasible", "").index(trial.outcome) + 1
        return rank, sign * trial.values[0] if trial.values else 0.0

    rows = []
    for trial in sorted((t for t in search.trials if t.results), key=order):
        outcome = "best" if trial in best else trial.outcome or "not over"
        last = {trial.name: trial.results[-1]}
        because = trial.because or ", ".join(
            f"{o.signal} {v:.4g}" for o, v in zip(search.head.objectives, trial.values, strict=False)
        )
        rows.append(row(trial.name, last, outcome, because, change=trial.change))
    counts = [
        f"{sum(t.outcome == word for t in search.trials)} {word}" for word in ("complete", "pruned", "infeasible")
    ]
    headline = f"{search.head.title}: {len(search.trials)} trials, {', '.join(counts)}."
    if best:
        change = ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in best[0].change.items())
        headline += f" Best: {best[0].name} with {change}."
        edge = search.at_the_edge(best[0])
        if edge:
            headline += (
                f" {', '.join(edge)}: the best value lies at the end of its range; widen the range and search again."
            )
    show = [o.signal for o in search.head.objectives if o.signal != "score"]
    return {"headline": headline, "show": show, "rows": rows, "best": best[0].name if best else None}


def _word(attempt: Attempt) -> str:
    assert attempt.result is not None
    if attempt.remedy is None:
        return "healthy" if succeeded(attempt.result) else "sick"
    return {True: "kept", False: "reverted", None: "not judged"}[attempt.kept]


def write(folder: Path, table: Mapping[str, Any]) -> None:
    """Write ``table.json``, all or nothing."""
    write_json(folder / "table.json", table)

"""Recall, false alarms, causes, delay and cost of the doctor and of the baselines on one half of the runs.

``python -m benchmarks.doctor.judge --half tuning`` reads ``runs/doctor/*.json``. An alarm is a finding at one of the steps at which the
doctor examined the run during training. The diagnosis is computed again here from the signals up to that step.
"""

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.doctor.runs import HOME
from benchmarks.doctor.settings import Setting, settings
from trainwright.diagnosis.doctor import examine
from trainwright.diagnosis.history import History
from trainwright.diagnosis.signal_names import derive

# other accepted names of the injected fault
SAME = {
    "plateau": {"plateau", "variance_collapse", "posterior_collapse"},
    "mode_collapse": {"mode_collapse"},
    "discriminator_guessing": {"discriminator_guessing", "frozen_network"},
    "ema_lag": {"ema_lag"},
    "exploding": {"exploding", "non_finite"},
    "oscillation": {"oscillation", "exploding"},
    "frozen_network": {"frozen_network"},
}


def wanted(setting: Setting, made: dict[str, Any]) -> set[str]:
    """Return the accepted names of a fault: the injected one, and its consequences according to the truth."""
    found = set(SAME.get(setting.symptom or "", {setting.symptom or ""}))
    truth = made["truth"]
    if setting.kind in ("gan", "wgan_gp") and truth.get("finite") and truth["spread"] < 0.1 and truth["kinds"] <= 3:
        found.add("mode_collapse")
    return found


@dataclass(frozen=True)
class Verdict:
    """Answer of a judge for one run: the alarm's step (None: silent), the names found, the causes in order."""

    alarm: float | None
    found: frozenset[str] = frozenset()
    causes: tuple[str, ...] = ()


Judge = Callable[[Setting, dict[str, Any]], Verdict]


def history(made: dict[str, Any]) -> History:
    """Return the doctor's input."""
    found = History.of(made["rows"], made["settings"], made["facts"], made["total"])
    return derive(found) if "status" not in made else found


def moments(made: dict[str, Any]) -> list[float]:
    """Return the steps at which judges answer: those of the doctor, the last row, and that of a non-finite number."""
    ends = [made["rows"][-1]["step"]] if made["rows"] else []
    event = made["facts"].get("non_finite")
    return sorted({*made["looks"], *ends, *([event["step"]] if event else [])})


def doctor(setting: Setting, made: dict[str, Any]) -> Verdict:
    """Return the answer of Trainwright's doctor over the steps at which it examined the run."""
    whole = history(made)
    right = wanted(setting, made)
    first: float | None = None
    found: set[str] = set()
    causes: tuple[str, ...] = ()
    hit: float | None = None
    non_finite = made["facts"].get("non_finite")
    for step in moments(made):
        seen = whole.until(step)
        if non_finite and step < non_finite["step"]:
            seen.facts = {k: v for k, v in seen.facts.items() if k != "non_finite"}
        examined = examine(seen)
        for d in examined.findings:
            if d.observation.severity == "note":
                continue
            if first is None and d.follows is None:
                first = step
            if d.symptom.name in right and hit is None:
                hit, causes = step, tuple(r.cause.name for r in d.causes)
            if d.follows is None or d.symptom.name in right:
                found.add(d.symptom.name)
    return Verdict(hit if setting.symptom and hit is not None else first, frozenset(found), causes)


def said_by(rules: Callable[[History], tuple[str, ...]]) -> Judge:
    """Return the answer of a judge without causes: an alarm counts if it occurs at two steps in a row."""

    def judge(setting: Setting, made: dict[str, Any]) -> Verdict:
        whole, right = history(made), wanted(setting, made)
        before: frozenset[str] = frozenset()
        first: float | None = None
        hit: float | None = None
        found: set[str] = set()
        for step in moments(made):
            now = frozenset(rules(whole.until(step)))
            kept = now & before if before else frozenset()
            if kept and first is None:
                first = step
            if kept & right and hit is None:
                hit = step
            found |= kept
            before = now
        return Verdict(hit if setting.symptom and hit is not None else first, frozenset(found))

    return judge


def score(judge: Judge, half: str, kind: str | None = None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return totals and one row per run, of one kind of runs if given."""
    rows = []
    for setting, made in load(half):
        if kind is not None and setting.kind != kind:
            continue
        said = judge(setting, made)
        hit = bool(said.found & wanted(setting, made)) if setting.symptom else said.alarm is None
        onset = setting.onset * made["total"]
        delay = (
            (said.alarm - onset) / made["total"] + made.get("waited_share", 0.0)
            if setting.symptom and hit and said.alarm is not None
            else None
        )
        top = said.causes.index(setting.cause) + 1 if setting.cause in said.causes else None
        rows.append(
            {
                "name": setting.name,
                "kind": setting.kind,
                "symptom": setting.symptom,
                "hit": hit,
                "found": sorted(said.found),
                "delay": delay,
                "cause_rank": top,
                "first_cause": said.causes[0] if said.causes else None,
                "cost": made["cost"],
                "truth": made["truth"],
            }
        )
    sick, well = [r for r in rows if r["symptom"]], [r for r in rows if not r["symptom"]]
    caught = [r for r in sick if r["hit"]]
    totals = {
        "faulty runs": len(sick),
        "healthy twins": len(well),
        "recall": _share(r["hit"] for r in sick),
        "false alarms": _share(not r["hit"] for r in well),
        "top-1 cause": _share(r["cause_rank"] == 1 for r in sick),
        "top-3 cause": _share(r["cause_rank"] is not None and r["cause_rank"] <= 3 for r in sick),
        "median delay, share of budget": median(r["delay"] for r in caught) if caught else None,
        "alarm before 25 % of the budget": _share(r["delay"] is not None and r["delay"] <= 0.25 for r in sick),
        "median watching cost": median(r["cost"] for r in rows) if rows else None,
    }
    return totals, rows


def load(half: str) -> Iterable[tuple[Setting, dict[str, Any]]]:
    """Return the settings of a half with the records of their runs."""
    for setting in settings():
        file = Path(HOME) / f"{setting.name}.json"
        if setting.half == half and file.exists():
            yield setting, json.loads(file.read_text())


def _share(values: Iterable[bool]) -> float | None:
    listed = list(values)
    return sum(listed) / len(listed) if listed else None


def main() -> None:
    """Print one half, run by run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=["tuning", "frozen"], default="tuning")
    parser.add_argument("--only", default="")
    parsed = parser.parse_args()
    totals, rows = score(doctor, parsed.half)
    for r in rows:
        if parsed.only in r["name"]:
            mark = "ok  " if r["hit"] else "MISS"
            delay = "" if r["delay"] is None else f"{r['delay']:.2f}"
            truth = " ".join(f"{k}={v:.2f}" for k, v in r["truth"].items())
            print(
                f"{mark} {r['name']:55s} {delay:5s} {r['cause_rank']!s:5s} {r['first_cause']!s:24s} {','.join(r['found'])} | {truth}"
            )
    print(json.dumps(totals, indent=1))


if __name__ == "__main__":
    main()

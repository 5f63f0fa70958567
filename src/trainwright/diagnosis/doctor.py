"""The doctor: checks a history for every symptom, ranks causes and gives one verdict.

It behaves identically on live runs, finished runs and logs of other programs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trainwright import plugins
from trainwright.diagnosis.causes import causes
from trainwright.diagnosis.definitions import (
    ORDER,
    Assessment,
    Cause,
    Judgement,
    Observation,
    RankedCause,
    Severity,
    Symptom,
    Unknown,
    as_dict,
)
from trainwright.diagnosis.history import History
from trainwright.diagnosis.kinds import OUT_OF_SCOPE, impossible, kinds_of
from trainwright.diagnosis.symptoms import symptoms

Verdict = Literal["healthy", "suspect", "sick", "crashed", "unknown"]
EXIT: Mapping[str, int] = {"healthy": 0, "suspect": 10, "sick": 11, "crashed": 12, "unknown": 13}
# order of the verdicts, mildest first; the exit codes are not ordered
SEVERITY: Mapping[str, int] = {"healthy": 0, "unknown": 1, "suspect": 2, "sick": 3, "crashed": 4}
YOUNG = 100  # steps; below it, and below eight readings, only fast symptoms are checked
ALWAYS = "non_finite"  # the symptom that is judged even where nothing else can be
WIRING = "wiring"  # the symptom that reports inspections
INSPECTED: Mapping[str, float] = {
    "sick": 0.97,
    "suspect": 0.9,
    "note": 0.5,
}  # score of a cause that an inspection found
POSSIBLE = 0.25  # score from which a cause is called possible where none is likely
UNKNOWN = re.compile(r" (?:is|are) (?:unknown|not known)$")  # in the reason of a cause that was not decided
ALIKE = 0.1  # mean squared distance of two samples over that of two real images
FLOOR = 0.4  # score below which a cause is not called likely
HALF = 0.5  # share of the planned steps after which samples far from the data are no good sign
NEAR = 0.5  # coverage and precision over those of real data, below which a run is not called healthy
READINGS = 3  # readings of quality that a healthy run needs
VITAL = 3  # number of absent symptoms from which a run is healthy instead of unknown
QUALITY = (
    "samples/",
    "r2_beyond_mean/",
    "std_ratio/",
    "latent/",
    "kl/nats",
    "validation/",
)  # signals of quality, which losses do not show; families declare further ones, see Signal.quality


@dataclass(frozen=True)
class Finding:
    """Symptom observed in a run, with its causes, likeliest first.

    ``follows`` names the symptom that explains this one, if there is one.
    """

    symptom: Symptom
    observation: Observation
    causes: tuple[RankedCause, ...]
    follows: str | None = None

    @property
    def title(self) -> str:
        """A few words, for people."""
        return self.symptom.title

    @property
    def onset(self) -> int:
        """First step of the stretch in which the condition held."""
        return round(self.observation.onset)

    @property
    def severity(self) -> Severity:
        """``note``, ``suspect`` or ``sick``."""
        return self.observation.severity

    @property
    def evidence(self) -> tuple[str, ...]:
        """Sentences with the measured numbers."""
        return tuple(e.sentence for e in self.observation.evidence)

    @property
    def certain(self) -> bool:
        """True if the run is sick and cannot recover without intervention."""
        return self.symptom.certain and self.severity == "sick"

    def no_cause(self) -> str:
        """Return a sentence for a finding without a likely cause: what is not known and would tell."""
        unknown = [
            UNKNOWN.sub("", r.weight.reason.partition(";")[0]) for r in self.causes if UNKNOWN.search(r.weight.reason)
        ]
        possible = [
            r.cause.title for r in self.causes if r.weight.score >= POSSIBLE and not UNKNOWN.search(r.weight.reason)
        ]
        parts = ["no known cause fits"]
        parts += [f"possible: {', '.join(possible[:2])}"] if possible else []
        parts += [f"not known: {', '.join(list(dict.fromkeys(unknown))[:3])}"] if unknown else []
        return "; ".join(parts)

    def sentence(self) -> str:
        """Return title, onset and first evidence in one line."""
        return f"{self.title} since step {self.onset}: {self.evidence[0]}"

    def __str__(self) -> str:
        return self.sentence()

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "symptom": self.symptom.name,
            **as_dict(self.observation),
            "follows": self.follows,
            "causes": [
                {"cause": r.cause.name, "score": round(r.weight.score, 3), "because": r.weight.reason}
                for r in self.causes
            ],
        }


@dataclass(frozen=True)
class Diagnosis:
    """Result of an examination of a run at one step.

    Attributes:
        verdict: verdict on the run.
        reason: the reason for it, in one line.
        findings: most severe and earliest first; those that follow from another come last.
        unknown: symptoms that could not be judged, with the missing measurement.
        clear: symptoms that were judged and are absent.
        step: the newest step that was examined.
        kinds: kinds of model that were recognised, see :mod:`~trainwright.diagnosis.kinds`.
    """

    verdict: Verdict
    reason: str
    findings: tuple[Finding, ...]
    unknown: dict[str, str]
    clear: tuple[str, ...]
    step: float
    kinds: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        first = "; ".join(f"{d.symptom.name} since step {d.onset}" for d in self.alarms[:3]) or "no alarm"
        causes = (
            ", ".join(r.cause.name for r in self.alarms[0].causes[:2] if r.weight.score >= FLOOR) if self.alarms else ""
        )
        return f"Diagnosis: {self.verdict} at step {self.step:.0f}\n  {first}\n  {f'likely: {causes}' if causes else self.reason}"

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """Findings that are more than a note and follow from no other finding."""
        return tuple(d for d in self.findings if d.observation.severity != "note" and d.follows is None)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "step": self.step,
            "diagnoses": [d.as_dict() for d in self.findings],
            "unknown": self.unknown,
            "clear": list(self.clear),
        }


def examine(history: History) -> Diagnosis:
    """Check a history for every symptom.

    Args:
        history: signals up to now, with the known settings and facts.

    Returns:
        A diagnosis. Its verdict is ``crashed`` for a non-finite number, and ``sick`` or ``suspect`` for the most severe finding.
        It is ``healthy`` if at least three symptoms were judged, none was found, a signal of quality beyond training losses has at
        least three readings, and samples are near the data once half of the run is over; else ``unknown``. Symptoms and causes of
        other kinds of model are skipped; of reinforcement learning nothing is judged but non-finite numbers.
    """
    found: list[tuple[Symptom, Observation]] = []
    unknown: dict[str, str] = {}
    clear: list[str] = []
    clean = history.finite()
    young = history.now - history.first < YOUNG and history.readings < 8
    kinds, never = kinds_of(history), impossible(history)
    for name, symptom in symptoms(not history.foreign).items():
        if _of_another_kind(symptom, history, kinds, never) or (OUT_OF_SCOPE in kinds and name != ALWAYS):
            continue
        if name == WIRING and "inspections" not in history.facts:
            continue
        if young and symptom.speed == "slow":
            unknown[name] = "a longer run"
            continue
        judged = _judge(symptom, history if symptom.raw else clean)
        if isinstance(judged, Unknown):
            unknown[name] = judged.probe
        elif judged is None:
            clear.append(name)
        else:
            found.append((symptom, judged))
    names = {symptom.name for symptom, observation in found if observation.severity != "note"}
    findings = [Finding(s, f, rank(history, s, f), _explained(s.name, found, names)) for s, f in found]
    findings.sort(key=lambda d: (d.follows is not None, -ORDER[d.observation.severity], d.observation.onset))
    verdict, reason = _verdict(history, findings, clear, young)
    return Diagnosis(verdict, reason, tuple(findings), unknown, tuple(clear), history.now, kinds)


def _of_another_kind(one: Symptom | Cause, history: History, kinds: frozenset[str], never: frozenset[str]) -> bool:
    """True for a symptom or cause that the model cannot have. A log of unknown kind is spared what only some kinds have."""
    if not one.kinds:
        return False
    if kinds:
        return kinds.isdisjoint(one.kinds)
    return history.foreign or never.issuperset(one.kinds)


def _judge(symptom: Symptom, history: History) -> Judgement:
    """Check one symptom; an error in its code becomes a warning, and the other symptoms are still checked."""
    try:
        return symptom.detect(history)
    except Exception as error:
        plugins.report(f"the symptom {symptom.name}", error)
        return Unknown("a detector without errors: its code raised one")


def _weigh(cause: Cause, history: History, observation: Observation) -> Assessment | None:
    """Assess one cause; an error in its code becomes a warning, and the cause is skipped."""
    try:
        return cause.assess(history, observation)
    except Exception as error:
        plugins.report(f"the cause {cause.name}", error)
        return None


def warm_up() -> None:
    """Examine an artificial history, so that imports happen before a run starts."""
    examine(History.of({"step": i, "loss": 1.0, "samples/diversity_ratio": 1.0, "kl/nats": 1.0} for i in range(64)))


def rank(history: History, symptom: Symptom, observation: Observation) -> tuple[RankedCause, ...]:
    """Return the possible causes of a finding, likeliest first.

    Causes of other kinds of model are omitted; what an inspection found comes first.
    """
    inspected = {i["cause"]: i for i in history.facts.get("inspections", ())}
    kinds, never = kinds_of(history), impossible(history)
    weighed = []
    for cause in causes(not history.foreign).values():
        found = inspected.get(cause.name)
        if found is None if symptom.name == WIRING else symptom.name not in cause.of:
            continue
        if _of_another_kind(cause, history, kinds, never) and found is None:
            continue
        if found is not None:
            weight: Assessment | None = Assessment(INSPECTED[found["severity"]], found["message"], found["advice"])
        else:
            weight = _weigh(cause, history, observation)
        weighed.append((cause, weight))
    kept = [RankedCause(c, _tested(history, c.name, w)) for c, w in weighed if w is not None]
    place = {
        name: i for i, name in enumerate(inspected)
    }  # of equally sure ones, first what comes first in a step of training
    return tuple(sorted(kept, key=lambda r: (-r.weight.score, place.get(r.cause.name, len(place)))))


def _tested(history: History, name: str, weight: Assessment) -> Assessment:
    """Return the assessment, updated by the experiments that tested the cause."""
    for experiment in history.facts.get("experiments", ()):
        if name in experiment["confirmed"]:
            return Assessment(
                max(weight.score, 0.98), f"{weight.reason}; an experiment confirmed it ({experiment['experiment']})"
            )
        if name in experiment.get("doubtful", ()):
            doubt = f"an experiment did not confirm it ({experiment['experiment']})"
            return Assessment(0.6 * weight.score, f"{weight.reason}; {doubt}")
        if name in experiment["ruled_out"]:
            return Assessment(
                0.2 * weight.score, f"{weight.reason}; an experiment contradicts it ({experiment['experiment']})"
            )
    return weight


def _explained(name: str, found: list[tuple[Symptom, Observation]], names: set[str]) -> str | None:
    for symptom, _ in found:
        if symptom.name in names and name in symptom.explains:
            return symptom.name
    return None


def _far(history: History) -> str:
    """Return how far samples still are from the data once half of the run is over; empty if they are near, or not measured."""
    if history.now < HALF * history.budget:
        return ""
    for name, what in (
        ("coverage", "samples are near only {0:.0%} of the data"),
        ("precision", "only {0:.0%} of the samples are near data"),
    ):
        series, best = history.get(f"samples/{name}"), history.get(f"real/{name}")
        if series is not None and series.last < NEAR * (best.last if best is not None else 0.9):
            return what.format(series.last)
    diversity = history.get("samples/diversity_ratio")
    return "samples are nearly identical" if diversity is not None and diversity.last < ALIKE else ""


def _verdict(history: History, findings: list[Finding], clear: list[str], young: bool) -> tuple[Verdict, str]:
    alarms = [d for d in findings if d.observation.severity != "note" and d.follows is None]
    if alarms:
        first = alarms[0]
        if any(d.symptom.name == "non_finite" for d in alarms):
            crash = next(d for d in alarms if d.symptom.name == "non_finite")
            return "crashed", crash.sentence()
        sick = any(d.severity == "sick" for d in findings)  # also one that follows from another
        return ("sick" if sick else "suspect"), first.sentence()
    if OUT_OF_SCOPE in kinds_of(history):
        return "unknown", "reinforcement learning is out of scope: only numbers that are not finite were looked for"
    if young:
        return "unknown", f"no symptom found so far; most symptoms are judged after {YOUNG} steps"
    declared = {} if history.foreign else plugins.signals()
    quality = (*QUALITY, *(s.prefix for s in declared.values() if s.quality))
    readings = max((len(s) for name, s in history.signals.items() if name.startswith(quality)), default=0)
    if not readings:
        return "unknown", "no symptom found, but losses alone do not show how good a model is"
    if readings < READINGS:
        return "unknown", f"no symptom found, but quality was measured only {'once' if readings == 1 else 'twice'}"
    far = _far(history)
    if far:
        return "unknown", f"no known fault found, but {far}"
    if len(clear) >= VITAL:
        return "healthy", f"{len(clear)} symptoms checked, none found"
    return "unknown", "no symptom found, but too few could be judged; see the missing signals"

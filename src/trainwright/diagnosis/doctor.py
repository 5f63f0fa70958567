"""The doctor: every symptom looked for in a history, causes ranked, one verdict. The same online, later, and on foreign logs."""

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
    Symptom,
    Unknown,
    as_dict,
)
from trainwright.diagnosis.history import History
from trainwright.diagnosis.symptoms import symptoms

Verdict = Literal["healthy", "suspect", "sick", "crashed", "unknown"]
EXIT: Mapping[str, int] = {"healthy": 0, "suspect": 10, "sick": 11, "crashed": 12, "unknown": 13}
# of verdicts, mildest first; exit codes are no order
SEVERITY: Mapping[str, int] = {"healthy": 0, "unknown": 1, "suspect": 2, "sick": 3, "crashed": 4}
YOUNG = 100  # below so many steps and eight readings only fast symptoms are looked for
VITAL = 3  # so many symptoms judged and not there make a run healthy rather than unknown
QUALITY = (
    "samples/",
    "r2_beyond_mean/",
    "std_ratio/",
    "latent/",
    "kl/nats",
    "validation/",
)  # what losses do not tell; families declare further ones, see Signal.quality


@dataclass(frozen=True)
class Finding:
    """A symptom that is there, with its causes, likeliest first; ``follows`` names the symptom that explains it, if one does."""

    symptom: Symptom
    observation: Observation
    causes: tuple[RankedCause, ...]
    follows: str | None = None

    @property
    def certain(self) -> bool:
        """Whether it makes the run sick and will not mend itself."""
        return self.symptom.certain and self.observation.severity == "sick"

    def sentence(self) -> str:
        """What, since when, and the first evidence, in one line."""
        since = f"since step {self.observation.onset:.0f}"
        return f"{self.symptom.title} {since}: {self.observation.evidence[0].sentence}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "symptom": self.symptom.name,
            **as_dict(self.observation),
            "follows": self.follows,
            "causes": [
                {"cause": r.cause.name, "score": round(r.weight.score, 3), "because": r.weight.because}
                for r in self.causes
            ],
        }


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor says of a run at one moment.

    Attributes:
        verdict: of the run.
        reason: one line.
        findings: gravest and earliest first; those that follow from another come last.
        unknown: symptoms that could not be judged, with the probe that would tell.
        clear: symptoms that were judged and are not there.
        step: when.
    """

    verdict: Verdict
    reason: str
    findings: tuple[Finding, ...]
    unknown: dict[str, str]
    clear: tuple[str, ...]
    step: float

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """Diagnoses that are more than a note and follow from no other."""
        return tuple(d for d in self.findings if d.observation.severity != "note" and d.follows is None)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "step": self.step,
            "diagnoses": [d.as_dict() for d in self.findings],
            "unknown": self.unknown,
            "clear": list(self.clear),
        }


def examine(history: History) -> Diagnosis:
    """Looks for every symptom.

    Args:
        history: signals up to now, with whatever is known of settings and facts.

    Returns:
        ``crashed`` for a number that is not finite; ``sick`` or ``suspect`` for the gravest finding; ``healthy`` if at least
        three symptoms were judged, none is there, and something beyond training losses was seen; else ``unknown``.
    """
    found: list[tuple[Symptom, Observation]] = []
    unknown: dict[str, str] = {}
    clear: list[str] = []
    clean = history.finite()
    young = history.now - history.first < YOUNG and history.readings < 8
    for name, symptom in symptoms().items():
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
    return Diagnosis(verdict, reason, tuple(findings), unknown, tuple(clear), history.now)


def _judge(symptom: Symptom, history: History) -> Judgement:
    """Look for one symptom; an error in its code is a warning, and the others are looked for all the same."""
    try:
        return symptom.detect(history)
    except Exception as error:
        plugins.report(f"the symptom {symptom.name}", error)
        return Unknown("nothing: its code raised an error")


def _weigh(cause: Cause, history: History, observation: Observation) -> Assessment | None:
    """Evidence for one cause; an error in its code is a warning, and the cause is left out."""
    try:
        return cause.assess(history, observation)
    except Exception as error:
        plugins.report(f"the cause {cause.name}", error)
        return None


def warm_up() -> None:
    """One examination of nothing in particular, so that imports are paid for before a run begins."""
    examine(History.of({"step": i, "loss": 1.0, "samples/diversity_ratio": 1.0, "kl/nats": 1.0} for i in range(64)))


def rank(history: History, symptom: Symptom, observation: Observation) -> tuple[RankedCause, ...]:
    """The causes that can be behind a finding, likeliest first."""
    weighed = [(c, _weigh(c, history, observation)) for c in causes().values() if symptom.name in c.of]
    kept = [RankedCause(c, _tested(history, c.name, w)) for c, w in weighed if w is not None]
    return tuple(sorted(kept, key=lambda r: -r.weight.score))


def _tested(history: History, name: str, weight: Assessment) -> Assessment:
    """The weight after what experiments said of the cause."""
    for experiment in history.facts.get("experiments", ()):
        if name in experiment["confirmed"]:
            return Assessment(
                max(weight.score, 0.98), f"{weight.because}; an experiment confirmed it ({experiment['experiment']})"
            )
        if name in experiment.get("doubtful", ()):
            doubt = f"an experiment did not confirm it ({experiment['experiment']})"
            return Assessment(0.6 * weight.score, f"{weight.because}; {doubt}")
        if name in experiment["ruled_out"]:
            return Assessment(
                0.2 * weight.score, f"{weight.because}; an experiment speaks against it ({experiment['experiment']})"
            )
    return weight


def _explained(name: str, found: list[tuple[Symptom, Observation]], names: set[str]) -> str | None:
    for symptom, _ in found:
        if symptom.name in names and name in symptom.explains:
            return symptom.name
    return None


def _verdict(history: History, findings: list[Finding], clear: list[str], young: bool) -> tuple[Verdict, str]:
    alarms = [d for d in findings if d.observation.severity != "note" and d.follows is None]
    if alarms:
        first = alarms[0]
        if any(d.symptom.name == "non_finite" for d in alarms):
            crash = next(d for d in alarms if d.symptom.name == "non_finite")
            return "crashed", crash.sentence()
        return ("sick" if first.observation.severity == "sick" else "suspect"), first.sentence()
    if young:
        return "unknown", f"nothing certain is wrong; more is said after {YOUNG} steps"
    quality = (*QUALITY, *(s.prefix for s in plugins.signals().values() if s.quality))
    if not any(name.startswith(quality) for name in history.signals):
        return "unknown", "nothing is wrong with what there is, but losses alone do not tell how good a model is"
    if len(clear) >= VITAL:
        return "healthy", f"{len(clear)} symptoms looked for, none found"
    return "unknown", "the signals do not tell; see what is missing"

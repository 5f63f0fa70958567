"""What the doctor found, as objects of the Python API: a diagnosis with its findings, causes and remedies.

Nothing that trains is imported here, so that a log is judged in a fraction of a second and without PyTorch.
"""

import html
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from trainwright.diagnosis.definitions import RankedCause
    from trainwright.diagnosis.doctor import Diagnosis as DoctorDiagnosis
    from trainwright.diagnosis.doctor import Finding as DoctorFinding
    from trainwright.diagnosis.input import DiagnosisInput
    from trainwright.playbooks.advice import Advice
    from trainwright.playbooks.remedy import Remedy as PlaybookRemedy
    from trainwright.schemas import DiagnosisJson, FindingJson


def diagnose(
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    steps: int | None = None,
    baseline: str | Path | None = None,
) -> "Diagnosis":
    """Diagnose the run or log at a path; see :func:`trainwright.diagnose`."""
    from trainwright.diagnosis.doctor import examine
    from trainwright.diagnosis.input import open_input

    source = open_input(path, dict(columns or {}), steps)
    if baseline is not None:
        source.history.baseline = open_input(baseline, dict(columns or {}), steps).history
    return Diagnosis._of(source, examine(source.history))


@dataclass(frozen=True)
class Cause:
    """A reason for a finding.

    Attributes:
        name: as in ``trainwright explain NAME``.
        title: a few words.
        reason: the evidence for it in this run.
        score: from 0 (no evidence) to 1 (certain).
    """

    name: str
    title: str
    reason: str
    score: float

    def __str__(self) -> str:
        return f"{self.title} ({self.reason})"


@dataclass(frozen=True)
class Remedy:
    """Something to try against a finding.

    Attributes:
        name: of the playbook's entry.
        advice: the change of settings, or words where it is none.
        why: how it is meant to help.
        source: where the advice comes from.
        change: setting to value; a relative value such as ``x0.1`` multiplies the value in force.
        restart: True if the run must be started again for it.
        contradicted: evidence against it; empty if there is none.
    """

    name: str
    advice: str
    why: str
    source: str
    change: Mapping[str, Any]
    restart: bool
    contradicted: str = ""

    @classmethod
    def _of(cls, remedy: "PlaybookRemedy") -> "Remedy":
        change = ", ".join(f"{key}={value}" for key, value in remedy.change.items())
        against = remedy.against if remedy.evidence == "contradicted" else ""
        advice = change or remedy.advice or remedy.name
        restart = remedy.apply == "restart"
        return cls(remedy.name, advice, remedy.why, remedy.source, dict(remedy.change), restart, against)

    @classmethod
    def _in_words(cls, advice: "Advice") -> "Remedy":
        return cls(advice.name, advice.advice, advice.why, advice.source, {}, advice.restart)

    @classmethod
    def _advised(cls, ranked: "RankedCause") -> "Remedy":
        advice = ranked.weight.advice or ranked.cause.advice
        return cls(ranked.cause.name, advice, ranked.weight.reason, "the cause itself", {}, False)

    def __str__(self) -> str:
        doubt = f" CONTRADICTED: {self.contradicted}" if self.contradicted else ""
        return f"{self.advice}: {self.why} [{self.source}]{doubt}"


@dataclass(frozen=True)
class Finding:
    """A symptom that is there.

    Attributes:
        symptom: its name, as in ``trainwright explain NAME``.
        title: a few words.
        onset: the first step at which the condition held.
        alarm: the step at which it had held for long enough to be certain.
        severity: ``note``, ``suspect`` or ``sick``.
        evidence: sentences with the measured numbers.
        causes: likeliest first.
        remedies: in the order in which to try them.
        follows: the symptom that explains this one; None if it stands for itself.
    """

    symptom: str
    title: str
    onset: int
    alarm: int
    severity: Literal["note", "suspect", "sick"]
    evidence: tuple[str, ...]
    causes: tuple[Cause, ...]
    remedies: tuple[Remedy, ...]
    follows: str | None = None

    @classmethod
    def _of(cls, found: "DoctorFinding", family: str | None, kinds: Collection[str] = ()) -> "Finding":
        from trainwright.diagnosis.doctor import FLOOR
        from trainwright.report.diagnosis import advice_of, first_remedies

        seen = found.observation
        likely = [r for r in found.causes[:3] if r.weight.score >= FLOOR and (r.weight.advice or r.cause.advice)]
        if family is None:
            remedies = (
                *(Remedy._advised(r) for r in likely), *(Remedy._in_words(a) for a in advice_of(found, kinds))
            )  # fmt: skip
        else:
            remedies = tuple(Remedy._of(r) for r in first_remedies(found, family))
        return cls(
            found.symptom.name,
            found.symptom.title,
            round(seen.onset),
            round(seen.alarm),
            seen.severity,
            tuple(e.sentence for e in seen.evidence),
            tuple(Cause(r.cause.name, r.cause.title, r.weight.reason, r.weight.score) for r in found.causes),
            remedies,
            found.follows,
        )

    def __str__(self) -> str:
        return f"{self.title} since step {self.onset}: {self.evidence[0]}"

    def __repr__(self) -> str:
        return f"Finding({self.symptom!r}, {self.severity}, since step {self.onset})"


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """The doctor's view of a run or a log. ``print`` shows it in words, a notebook with curves.

    Attributes:
        title: name of the run or log.
        verdict: ``healthy``, ``suspect``, ``sick``, ``crashed`` or ``unknown``.
        reason: one sentence.
        step: the last step that was seen.
        findings: gravest and earliest first; those that follow from another come last.
        unknown: symptoms that could not be judged, each with what would tell.
        clear: symptoms that were judged and are not there.
        notes: sentences about what could not be read.
        best_step: step with the best held-out loss or quality of samples; None if neither was measured.
        remarks: sentences on a log that change no verdict: passes over the data, steps worth keeping, the time that steps take.
    """

    title: str
    verdict: Literal["healthy", "suspect", "sick", "crashed", "unknown"]
    reason: str
    step: int
    findings: tuple[Finding, ...]
    unknown: Mapping[str, str]
    clear: tuple[str, ...]
    notes: tuple[str, ...]
    best_step: int | None
    remarks: tuple[str, ...]
    _source: "DiagnosisInput" = field(compare=False)
    _found: "DoctorDiagnosis" = field(compare=False)

    @classmethod
    def _of(cls, source: "DiagnosisInput", found: "DoctorDiagnosis") -> "Diagnosis":
        from trainwright.diagnosis.best import best
        from trainwright.diagnosis.remarks import remarks

        findings = tuple(Finding._of(one, source.family, found.kinds) for one in found.findings)
        step, clear = round(found.step), tuple(found.clear)
        kept = best(source.history)
        return cls(
            source.title, found.verdict, found.reason, step, findings, dict(found.unknown), clear, tuple(source.notes),
            None if kept is None else round(kept.step), tuple(remarks(source.history, kept)), source, found,
        )  # fmt: skip

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """Findings that are more than a note and follow from no other."""
        return tuple(f for f in self.findings if f.severity != "note" and f.follows is None)

    def chart(self) -> str | None:
        """Return SVG text of the evidence as curves with each onset marked; None if there is nothing to draw."""
        from trainwright.report.diagnosis import chart

        return chart(self._source.history, self._found)

    def as_dict(self) -> "DiagnosisJson":
        """Return plain values, for JSON."""
        findings = cast("list[FindingJson]", [finding.as_dict() for finding in self._found.findings])
        return {
            "title": self.title,
            "notes": list(self.notes),
            "verdict": self.verdict,
            "reason": self.reason,
            "step": self._found.step,
            "best_step": self.best_step,
            "remarks": list(self.remarks),
            "findings": findings,
            "unknown": dict(self.unknown),
            "clear": list(self.clear),
        }

    def sarif(self, target: str = "") -> dict[str, Any]:
        """Return the findings as a SARIF 2.1.0 log for code hosts and editors; ``target`` is the path to show."""
        from trainwright.report.sarif import sarif

        return sarif(target or self.title, self._found)

    def __str__(self) -> str:
        return self.text()

    def text(self, every: bool = False) -> str:
        """Return the diagnosis in words; ``every`` also lists what could not be judged in a log, and what would tell."""
        from trainwright.diagnosis.best import best
        from trainwright.report.diagnosis import text

        source = self._source
        return text(self.title, self._found, source.family, self.notes, best(source.history), every, self.remarks)

    def __repr__(self) -> str:
        names = ", ".join(finding.symptom for finding in self.findings)
        return f"Diagnosis({self.title!r}: {self.verdict}{f', {names}' if names else ''})"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>{self.chart() or ''}"

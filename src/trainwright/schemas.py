"""Published schemas of the JSON that the command line prints with ``--json``.

Keys may be added in a minor version; a key is renamed or removed in a major version only.
"""

from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic validates no other before Python 3.12

Verdict = Literal["healthy", "suspect", "sick", "crashed", "unknown"]


class RecipeJson(TypedDict):
    """One entry of ``trainwright recipes --json``, which prints a list."""

    recipe: str
    family: str
    summary: str
    minutes: float | None
    hidden: bool
    hypothesis: str


class CheckJson(TypedDict):
    """One entry of ``trainwright check --json``, which prints a list, worst first."""

    name: str
    grade: Literal["ok", "warn", "stop"]
    message: str
    fix: str


class EvidenceJson(TypedDict):
    """One number behind a finding and the steps over which it was seen."""

    signal: str
    value: float
    against: float
    sentence: str
    begin: float
    end: float


class CauseJson(TypedDict):
    """One ranked cause of a finding; ``score`` runs from 0 to 1."""

    cause: str
    score: float
    because: str


class FindingJson(TypedDict):
    """One symptom that is there; ``follows`` names the symptom that explains it."""

    symptom: str
    onset: float
    alarm: float
    severity: Literal["note", "suspect", "sick"]
    evidence: list[EvidenceJson]
    follows: str | None
    causes: list[CauseJson]


class DiagnosisJson(TypedDict):
    """Output of ``trainwright doctor --json``; ``unknown`` maps a symptom to what would tell, ``best_step`` may be null."""

    title: str
    notes: list[str]
    verdict: Verdict
    reason: str
    step: float
    best_step: int | None
    remarks: list[str]
    findings: list[FindingJson]
    unknown: dict[str, str]
    clear: list[str]


class MetricJson(TypedDict):
    """One metric of an evaluation; ``floor`` is what real data themselves reach."""

    metric: str
    value: float
    spread: float | None
    better: Literal["lower", "higher", ""]
    floor: float | None
    meaning: str


class EvaluationJson(TypedDict):
    """Output of ``trainwright evaluate --json``, and ``evaluation.json`` in a run."""

    step: int
    samples: int
    real: int
    held_out: int
    seed: int
    weights: Literal["averaged", "raw"]
    backend: str
    command: str
    time: str
    rows: list[MetricJson]


class RunJson(TypedDict):
    """One entry of ``trainwright runs --json``, which prints a list, newest first."""

    name: str
    family: str | None
    recipe: str | None
    status: str | None
    verdict: str | None
    step: int | None
    steps: int | None
    created: str | None
    hypothesis: str | None


class DifferenceJson(TypedDict):
    """One setting or fact that differs between groups of runs, with the value in each group."""

    what: str
    values: list[str]


class ComparisonJson(TypedDict):
    """Output of ``trainwright compare --json``; ``effects`` maps a group and a signal to the change from the first group."""

    headline: str
    rows: list[dict[str, str]]
    groups: list[str]
    differences: list[DifferenceJson]
    effects: dict[str, dict[str, dict[str, Any]]]

"""A diagnosis as SARIF 2.1.0, which code hosts and editors show beside the files of a change."""

from typing import Any

from trainwright import __version__
from trainwright.diagnosis.doctor import Diagnosis

LEVELS = {"sick": "error", "suspect": "warning", "note": "note"}
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(target: str, found: Diagnosis) -> dict[str, Any]:
    """Return the findings as a SARIF log: a rule for each symptom, a result for each finding that stands for itself.

    Args:
        target: path of the run or log, as it was given.
        found: its diagnosis.
    """
    shown = [f for f in found.findings if f.follows is None]
    rules = [
        {
            "id": f.symptom.name,
            "shortDescription": {"text": f.symptom.title},
            "fullDescription": {"text": f.symptom.what},
            "help": {"text": f.symptom.measured},
        }
        for f in {f.symptom.name: f for f in shown}.values()
    ]
    results = [
        {
            "ruleId": f.symptom.name,
            "level": LEVELS[f.severity],
            "message": {"text": f"{f.title} since step {f.onset}: {'; '.join(f.evidence)}"},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": target}}}],
            "properties": {"step": f.onset, "causes": [r.cause.name for r in f.causes[:3]]},
        }
        for f in shown
    ]
    driver = {"name": "trainwright", "version": __version__, "rules": rules}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}

"""The doctor's diagnosis as text for a terminal, and as a chart of each finding's signal with onset and threshold."""

import io
from collections.abc import Sequence

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from trainwright.diagnosis.doctor import Diagnosis, Finding
from trainwright.diagnosis.history import History
from trainwright.playbooks.remedy import Remedy, remedies_for

MOST = 4


def text(title: str, found: Diagnosis, family: str | None, notes: Sequence[str] = ()) -> str:
    """Return the diagnosis in words: verdict, findings with evidence, causes and first remedies, and unjudged symptoms."""
    lines = [f"{title}: {found.verdict} at step {found.step:.0f}", *(f"  {note}" for note in notes)]
    if not found.findings:
        lines.append(f"  {found.reason}")
    for finding in found.findings:
        lines += ["", *_diagnosis(finding, family)]
    if found.unknown and family is not None:
        lines += ["", f"not judged, because signals are missing: {', '.join(found.unknown)}"]
    elif found.unknown:
        lines += ["", "not judged:"]
        by_probe: dict[str, list[str]] = {}
        for name, probe in found.unknown.items():
            by_probe.setdefault(probe, []).append(name)
        lines += [f"  {', '.join(names)}: would need {probe}" for probe, names in by_probe.items()]
    return "\n".join(lines)


def _diagnosis(finding: Finding, family: str | None) -> list[str]:
    observation, mark = finding.observation, finding.observation.severity
    follows = f" (follows from {finding.follows})" if finding.follows else ""
    lines = [
        f"{mark}: {finding.symptom.title}{follows}, since step {observation.onset:.0f}, sure at {observation.alarm:.0f}"
    ]
    lines += [f"  {e.sentence}" for e in observation.evidence]
    if finding.follows or mark == "note":
        return lines
    for number, ranked in enumerate(finding.causes[:3], 1):
        lines.append(f"  cause {number}: {ranked.cause.title} ({ranked.weight.reason})")
    for remedy in first_remedies(finding, family)[:2]:
        lines.append(f"  try: {remedy_text(remedy, in_words=family is None)}")
    lines.append(f"  more: trainwright explain {finding.symptom.name}")
    return lines


def first_remedies(finding: Finding, family: str | None) -> list[Remedy]:
    """Return the remedies to try, likeliest cause first; contradicted advice last."""
    return remedies_for(finding.symptom.name, [r.cause.name for r in finding.causes[:3]], family)


def remedy_text(remedy: Remedy, in_words: bool = False) -> str:
    """Return one remedy as a line: the change or the advice, the reason, and the source.

    Args:
        remedy: the remedy.
        in_words: give the advice instead of settings, for a training loop that does not have Trainwright's settings.
    """
    change = ", ".join(f"{k}={v}" for k, v in remedy.change.items())
    advice = remedy.advice.rstrip(".")
    first = (advice or change if in_words else change or advice) or remedy.name
    how = "from a checkpoint" if remedy.apply == "hot" else "in a new run"
    doubt = f" CONTRADICTED: {remedy.against}" if remedy.evidence == "contradicted" else ""
    return f"{first} ({how}): {remedy.why} [{remedy.source}]{doubt}"


def chart(history: History, found: Diagnosis) -> str | None:
    """Return SVG text of up to four pieces of evidence as curves with the onset marked, or None without evidence."""
    shown = [
        (d, e)
        for d in found.findings
        if d.follows is None
        for e in d.observation.evidence
        if len(history.signals.get(e.signal, ())) > 1
    ][:MOST]
    if not shown:
        return None
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "trainwright", "font.size": 9}):
        figure, axes = plt.subplots(len(shown), 1, figsize=(7, 2.1 * len(shown)), layout="constrained", squeeze=False)
        for axis, (finding, seen) in zip(axes[:, 0], shown, strict=True):
            series = history.signals[seen.signal]
            axis.plot(series.steps, series.values, color="#2a6f97", lw=1.3)
            axis.axvspan(finding.observation.onset, history.now, color="#d1495b", alpha=0.12)
            axis.axhline(seen.against, color="#5c677d", lw=0.8, ls="--")
            axis.set_title(f"{finding.symptom.title}: {seen.signal}", fontsize=9, loc="left")
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(alpha=0.25)
        axes[-1, 0].set_xlabel("step")
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
        plt.close(figure)
    return out.getvalue()[out.getvalue().index("<svg") :]

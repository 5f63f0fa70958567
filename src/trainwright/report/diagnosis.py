"""The doctor's diagnosis as text for a terminal, and as a chart of each finding's signal with onset and threshold."""

import io
from collections.abc import Collection, Sequence

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from trainwright import plugins
from trainwright.diagnosis.doctor import FLOOR, Diagnosis, Finding
from trainwright.diagnosis.history import History
from trainwright.diagnosis.kinds import KINDS
from trainwright.playbooks.remedy import Remedy, remedies_for

MOST = 4


def text(title: str, found: Diagnosis, family: str | None, notes: Sequence[str] = ()) -> str:
    """Return the diagnosis in words: verdict, findings with evidence, causes and first remedies, and unjudged symptoms."""
    what = f" ({' and '.join(KINDS[k] for k in sorted(found.kinds))})" if found.kinds and family is None else ""
    lines = [f"{title}: {found.verdict} at step {found.step:.0f}{what}", *(f"  {note}" for note in notes)]
    if not found.findings:
        lines.append(f"  {found.reason}")
    for finding in found.findings:
        lines += ["", *_diagnosis(finding, family, found.kinds)]
    if found.unknown and family is not None:
        lines += ["", f"not judged, because signals are missing: {', '.join(found.unknown)}"]
    elif found.unknown:
        lines += ["", "not judged:"]
        by_probe: dict[str, list[str]] = {}
        for name, probe in found.unknown.items():
            by_probe.setdefault(probe, []).append(name)
        lines += [f"  {', '.join(names)}: would need {probe}" for probe, names in by_probe.items()]
    return "\n".join(lines)


def _diagnosis(finding: Finding, family: str | None, kinds: Collection[str]) -> list[str]:
    observation, mark = finding.observation, finding.observation.severity
    follows = f" (follows from {finding.follows})" if finding.follows else ""
    lines = [
        f"{mark}: {finding.symptom.title}{follows}, since step {observation.onset:.0f}, sure at {observation.alarm:.0f}"
    ]
    lines += [f"  {e.sentence}" for e in observation.evidence]
    if finding.follows or mark == "note":
        return lines
    if family is None:
        return lines + _advice(finding, kinds)
    for number, ranked in enumerate(finding.causes[:3], 1):
        lines.append(f"  cause {number}: {ranked.cause.title} ({ranked.weight.reason})")
    for remedy in first_remedies(finding, family)[:2]:
        lines.append(f"  try: {remedy_text(remedy)}")
    lines.append(f"  more: trainwright explain {finding.symptom.name}")
    return lines


def _advice(finding: Finding, kinds: Collection[str]) -> list[str]:
    """Return likely causes and advice in words, for a loop or log that does not have Trainwright's settings."""
    lines = []
    likely = [r for r in finding.causes if r.weight.score >= FLOOR][:3]
    for number, ranked in enumerate(likely, 1):
        lines.append(f"  cause {number}: {ranked.cause.title} ({ranked.weight.reason})")
        if ranked.weight.advice or ranked.cause.advice:
            lines.append(f"    do: {ranked.weight.advice or ranked.cause.advice}")
    if not likely:
        lines.append(f"  {finding.no_cause()}")
    for remedy in foreign_remedies(finding, kinds)[:2]:
        lines.append(f"  try: {remedy_text(remedy, in_words=True)}")
    lines.append(f"  more: trainwright explain {finding.symptom.name}")
    return lines


def first_remedies(finding: Finding, family: str | None, kinds: Collection[str] = ()) -> list[Remedy]:
    """Return the remedies to try, likeliest cause first; contradicted advice last.

    Args:
        finding: what was found.
        family: the family of a run of Trainwright; None for other loops and logs.
        kinds: kinds of model of another loop or log.
    """
    if family is None:
        return foreign_remedies(finding, kinds)
    return remedies_for(finding.symptom.name, [r.cause.name for r in finding.causes[:3]], family)


def foreign_remedies(finding: Finding, kinds: Collection[str]) -> list[Remedy]:
    """Return remedies in words for the likely causes, from playbooks of the same kind of model and from the literature."""
    causes = [r.cause.name for r in finding.causes[:3] if r.weight.score >= FLOOR]
    families = {f.name for f in plugins.families().values() if set(f.kinds) & set(kinds)}
    fitting = []
    for remedy in remedies_for(finding.symptom.name, causes):
        whose = {remedy.playbook} if remedy.playbook in plugins.families() else set(remedy.families)
        if (
            remedy.advice
            and remedy.evidence != "contradicted"
            and set(causes) & set(remedy.causes)
            and (not whose or whose & families)
        ):
            fitting.append(remedy)
    return fitting


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

"""The doctor's diagnosis as text for a terminal, and as a chart of each finding's signal with onset and threshold."""

import io
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from trainwright.diagnosis.best import Best
from trainwright.diagnosis.doctor import FLOOR, Diagnosis, Finding
from trainwright.diagnosis.history import History
from trainwright.diagnosis.kinds import KINDS
from trainwright.playbooks.advice import Advice, advice_for

if TYPE_CHECKING:
    from trainwright.playbooks.remedy import Remedy

MOST = 4


def text(
    title: str,
    found: Diagnosis,
    family: str | None,
    notes: Sequence[str] = (),
    kept: Best | None = None,
    every: bool = False,
    remarks: Sequence[str] = (),
) -> str:
    """Return the diagnosis in words: verdict, findings with evidence, causes and first remedies, and unjudged symptoms.

    Args:
        title: name of the run or log.
        found: the diagnosis.
        family: of a run of Trainwright.
        notes: sentences about the reading of a log.
        kept: the best step.
        every: list the symptoms of a log that could not be judged, each with what would tell.
        remarks: further sentences on a log.
    """
    what = f" ({' and '.join(KINDS[k] for k in sorted(found.kinds))})" if found.kinds and family is None else ""
    lines = [f"{title}: {found.verdict} at step {found.step:.0f}{what}", *(f"  {note}" for note in notes)]
    if not found.findings:
        lines.append(f"  {found.reason}")
    for finding in found.findings:
        lines += ["", *_diagnosis(finding, family, found.kinds)]
    if found.unknown and family is not None:
        lines += ["", f"not judged, because signals are missing: {', '.join(found.unknown)}"]
    if kept is not None and family is None:
        lines += ["", kept.sentence()]
    lines += ["", *remarks] if remarks else []
    if found.unknown and family is None and not every:
        lines += [
            "",
            f"not shown here: {_missing(found.unknown)}; --all lists the {len(found.unknown)} symptoms that need them",
        ]
    elif found.unknown and family is None:
        lines += ["", "not judged:"]
        by_probe: dict[str, list[str]] = {}
        for name, probe in found.unknown.items():
            by_probe.setdefault(probe, []).append(name)
        lines += [f"  {', '.join(names)}: would need {probe}" for probe, names in by_probe.items()]
    return "\n".join(lines)


WANTED = {  # what a measurement is about, by a word of it
    "samples": "samples", "validation": "held-out data", "held-out": "held-out data", "gradient": "gradients", "updates": "updates",
    "KL": "codes", "codes": "codes", "losses": "losses of each network", "longer run": "a longer run",
}  # fmt: skip


def _missing(unknown: Mapping[str, str]) -> str:
    """Return in a few words what a log does not show."""
    found = [what for probe in unknown.values() for word, what in WANTED.items() if word in probe]
    return (
        ", ".join(list(dict.fromkeys(sorted(found, key=lambda w: -found.count(w))))[:4]) or "what further symptoms need"
    )


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
        lines += [f"    do: {finding.symptom.advice}"] if finding.symptom.advice else []
    lines += [f"  try: {one.sentence()}" for one in advice_of(finding, kinds)[:2]]
    lines.append(f"  more: trainwright explain {finding.symptom.name}")
    return lines


def first_remedies(finding: Finding, family: str) -> "list[Remedy]":
    """Return the remedies of a family to try against a finding, likeliest cause first; contradicted advice last."""
    from trainwright.playbooks.remedy import remedies_for

    return remedies_for(finding.symptom.name, [r.cause.name for r in finding.causes[:3]], family)


def advice_of(finding: Finding, kinds: Collection[str]) -> list[Advice]:
    """Return advice in words against a finding in anyone's loop or log, for its likely causes and the kinds of model that it is of."""
    causes = [r.cause.name for r in finding.causes[:3] if r.weight.score >= FLOOR]
    return advice_for(finding.symptom.name, causes, kinds)


def remedy_text(remedy: "Remedy") -> str:
    """Return one remedy as a line: the change or the advice, the reason, and the source."""
    change = ", ".join(f"{k}={v}" for k, v in remedy.change.items())
    first = change or remedy.advice.rstrip(".") or remedy.name
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
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

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

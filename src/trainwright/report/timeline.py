"""Phases of a run as its page shows them: start, end, settings, and the reason for the end."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class PhaseStretch:
    """One phase. ``end`` is the newest step while it lasts; a skipped one has neither."""

    name: str
    settings: Mapping[str, Any]
    begin: int | None = None
    end: int | None = None
    because: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """Number of steps that it took."""
        return (self.end or 0) - (self.begin or 0)


def timeline(phases: Sequence[Mapping[str, Any]], events: Iterable[Mapping[str, Any]], step: int) -> list[PhaseStretch]:
    """Return every phase of the recipe that has started or was skipped.

    Args:
        phases: ``phases`` of the run's config.
        events: of the run, oldest first.
        step: the run's current step.
    """
    found = [PhaseStretch(str(p["name"]), p.get("settings") or {}) for p in phases]
    by_name = {stretch.name: stretch for stretch in found}
    if found:
        found[0].begin = 0
    for event in events:
        stretch = by_name.get(str(event.get("phase")))
        if stretch is None:
            continue
        if event["event"] == "phase_started":
            stretch.begin, stretch.end, stretch.because = event["step"], None, ""
            stretch.notes = [f"weights of step {event['weights_of_step']}"]
            stretch.notes += [f"{name} reinitialised" for name in event["reinitialized"]]
        elif event["event"] == "phase_ended":
            stretch.end, stretch.because = event["step"], event["because"]
        elif event["event"] == "phase_skipped":
            stretch.because = f"skipped: {event['because']}"
    for stretch in found:
        if stretch.begin is not None and stretch.end is None:
            stretch.end, stretch.because = step, "runs"
    return [s for s in found if s.begin is not None or s.because]

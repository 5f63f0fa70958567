"""Stalled: a run with the status running that writes nothing."""

from trainwright.diagnosis.definitions import Bound, Evidence, Judgement, Observation, Symptom, Unknown
from trainwright.diagnosis.history import History

BOUNDS = {
    "factor": Bound(
        10.0, "time since the last row over the median time between rows", "ours; SageMaker Debugger waits 1800 s"
    ),
    "seconds": Bound(120.0, "smallest time since the last row, in seconds", "Aim: 100 s"),
}


def detect(h: History) -> Judgement:
    """Detect no new row for ten times the usual time in a run with the status running."""
    waited, usual = h.facts.get("seconds_since_row"), h.facts.get("seconds_per_row")
    if waited is None or usual is None:
        return Unknown("the time of the last row of a run with the status running")
    limit = max(BOUNDS["factor"].value * usual, BOUNDS["seconds"].value)
    if waited <= limit:
        return None
    said = f"no row was written for {waited:.0f} seconds (usual time between rows: {usual:.1f} seconds)"
    return Observation(h.now, h.now, "sick", (Evidence("seconds_since_row", waited, limit, said, h.now, h.now),))


SYMPTOM = Symptom(
    name="stalled",
    title="a stalled run",
    what="The status of the run is running, but no row has been written for long: the process hangs or was killed.",
    measured="Time since the last row over the usual time between rows.",
    bounds=BOUNDS,
    detect=detect,
    speed="fast",
)

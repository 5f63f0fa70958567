"""Stalled: a run that claims to be running and writes nothing."""

from trainwright.diagnosis.definitions import Bound, Evidence, Judgement, Observation, Symptom, Unknown
from trainwright.diagnosis.history import History

BOUNDS = {
    "factor": Bound(
        10.0, "time since the last row over the median time between rows", "ours; SageMaker Debugger waits 1800 s"
    ),
    "seconds": Bound(120.0, "least number of seconds", "Aim: 100 s"),
}


def detect(h: History) -> Judgement:
    """No row for ten times the usual time, while the run's status says that it is running."""
    waited, usual = h.facts.get("seconds_since_row"), h.facts.get("seconds_per_row")
    if waited is None or usual is None:
        return Unknown("the time of the last row, and whether the run says that it is running")
    limit = max(BOUNDS["factor"].value * usual, BOUNDS["seconds"].value)
    if waited <= limit:
        return None
    said = f"nothing was written for {waited:.0f} seconds; a row took {usual:.1f} so far"
    return Observation(h.now, h.now, "sick", (Evidence("seconds_since_row", waited, limit, said, h.now, h.now),))


SYMPTOM = Symptom(
    name="stalled",
    title="stalled",
    what="The run says that it is running, but nothing has been written for long: the process hangs or was killed.",
    measured="Time since the last row over the usual time between rows.",
    bounds=BOUNDS,
    detect=detect,
    speed="fast",
)

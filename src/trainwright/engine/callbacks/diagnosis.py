"""The doctor as a callback: probes of samples on a time budget, the verdict, and an event for each change."""

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainwright.config.base import flatten
from trainwright.diagnosis.doctor import Diagnosis, Finding, examine, warm_up
from trainwright.diagnosis.history import History, compact
from trainwright.diagnosis.probes.samples import SampleProbe
from trainwright.engine.callbacks.base import Callback, Event, Judge, Note, Rebuilt, Record, Request, Requests, Stop

if TYPE_CHECKING:
    from trainwright.engine.model import Data, GenerativeModel
    from trainwright.engine.state import TrainingView

REAL = 256  # real images that samples are compared with
COPIES = 4096  # most training images that are searched for copies,
MOST_NUMBERS = 2**26  # and most numbers that these images may have together
PART = 8  # the cost of a probe is estimated from an eighth of its samples
SEED = 1414213562  # the same noise in every probe of every run
SHARE = 0.4  # of the monitoring budget for probes; the rest is for grids, held-out measurements and the doctor
DOCTOR_SHARE = 0.15  # of the monitoring budget for the doctor


class DiagnosisCallback(Callback):
    """Probes samples, examines all signals, and stops the run after a failure that does not recover by itself.

    Its memory is ``metrics.jsonl`` and ``events.jsonl``, which it reads again after a resume.
    """

    name = "diagnosis"
    purpose = "monitor"

    def __init__(self) -> None:
        self.samples: SampleProbe | None = None
        self.rows: list[dict[str, Any]] = []
        self.stride = 1  # measurements of held-out data per probe of samples
        self.measurements = 0
        self.measured_real = False  # whether a row of this run holds the scores of real data
        self.reported: set[str] = set()
        self._pending = False  # a measurement waits for its row
        self._final = False
        self._spent = 0.0
        self._facts: dict[str, Any] | None = None
        self._settings: dict[str, Any] | None = None

    def facts(self, view: "TrainingView") -> dict[str, Any]:
        """Return what is known of the run in addition to signals and settings."""
        if self._facts is None:
            self._facts = facts_of(view.model, view.data)
        return self._facts

    # ---- probes ------------------------------------------------------------------------------------------------------

    def on_train_start(self, view: "TrainingView") -> Requests:
        """Measure the real images, and run one-time setup so that it is not counted as monitoring."""
        settings, data = view.config.train, view.data
        if settings.probe_count and self.samples is None:
            real = data.images("train", REAL)
            if len(real) > 1:
                held_out = data.images("held_out", REAL)
                copies = data.images("train", max(REAL, min(COPIES, MOST_NUMBERS // real[0].numel())))
                self.samples = SampleProbe(real, held_out, copies, appearance=view.model.samples_are_images)
                self.samples.measure(real[: settings.probe_count])
        view.model.prepare_monitoring(data)
        warm_up()
        return None

    def on_step_end(self, view: "TrainingView") -> Requests:
        """Probe samples if it is time."""
        return self._probe(view) if view.due(view.config.train.validate_every) else None

    def on_final_measurements(self, view: "TrainingView") -> Requests:
        """Probe samples, and examine with the last row regardless of the budget."""
        self._final = True
        return self._probe(view)

    def _probe(self, view: "TrainingView") -> Requests:
        settings, first = view.config.train, self.measurements == 0
        self._pending = True
        if settings.probe_stride is not None:
            self.stride = settings.probe_stride
        elif first:
            self._pace(view)
        self.measurements += 1
        if self.samples is None or (self.measurements % self.stride and not self._final):
            return None
        return Record(self._sample(view, self.samples))

    def _sample(self, view: "TrainingView", probe: SampleProbe) -> dict[str, float]:
        count, model = view.config.train.probe_count, view.model
        found = {} if self.measured_real else probe.ceiling(count)
        self.measured_real = True
        model.prepare_sampling(view.data)
        found.update(probe.measure(model.sample(count, SEED)))
        found.update(model.probe(view.data, count, SEED))
        if model.averaged:
            found.update(probe.measure_diversity(model.sample(count, SEED, averaged=False), "raw"))
        return found

    def _pace(self, view: "TrainingView") -> None:
        """Set how often samples are probed, from the cost of a few samples compared with that of a step."""
        if self.samples is None:
            return
        settings, model = view.config.train, view.model
        few = max(1, settings.probe_count // PART)
        begin = time.perf_counter()
        model.prepare_sampling(view.data)
        once, begin = time.perf_counter() - begin, time.perf_counter()
        model.sample(few, SEED)
        model.probe(view.data, few, SEED)
        probe_seconds = once + (time.perf_counter() - begin) * settings.probe_count / few
        step_seconds = view.seconds("step") / max(1, view.step)
        allowed = SHARE * settings.monitor_budget * step_seconds * settings.validate_every
        self.stride = max(1, math.ceil(probe_seconds / max(allowed, 1e-9)))

    # ---- doctor ------------------------------------------------------------------------------------------------------

    def on_log(self, view: "TrainingView", row: Mapping[str, float]) -> Requests:
        """Add the row to the history, and examine it if it holds a measurement."""
        signals = {name: value for name, value in row.items() if not name.startswith(("speed/", "monitor/"))}
        self.rows = compact([*self.rows, {"step": view.step, **signals}])
        if not self._pending:
            return None
        self._pending = False
        return self.examine(view)

    def examine(self, view: "TrainingView") -> list[Request]:
        """Examine all signals, unless the doctor has used its share of the time.

        With ``train.probe_stride`` set, time is ignored, so that a repeated run stops at the same step.
        """
        settings = view.config.train
        over = self._spent > DOCTOR_SHARE * settings.monitor_budget * view.seconds()
        if over and not self._final and settings.probe_stride is None:
            return []
        begin = time.perf_counter()
        found = examine(self.history(view))
        self._spent += time.perf_counter() - begin
        return [Judge(found), *self._report(view, found)]

    def history(self, view: "TrainingView") -> History:
        """Return the doctor's input."""
        if self._settings is None:
            self._settings = flatten(view.config)
        return History.of(self.rows, self._settings, self.facts(view), view.total_steps)

    def _report(self, view: "TrainingView", found: Diagnosis) -> list[Request]:
        now = {f.symptom.name: f for f in found.findings if f.observation.severity != "note" and f.follows is None}
        requests: list[Request] = []
        for name, finding in now.items():
            if name not in self.reported:
                requests.append(Event("finding", **finding.as_dict()))
        for name in sorted(self.reported - set(now)):
            requests.append(Event("recovered", symptom=name))
        for name, finding in now.items():
            if name not in self.reported:
                requests += self._announce(view, finding)
        self.reported = set(now)
        return requests

    def _announce(self, view: "TrainingView", finding: Finding) -> list[Request]:
        severity, policy = finding.observation.severity, view.config.train.on_failure
        requests: list[Request] = [Note(f"{severity}: {finding.sentence()}")]
        for ranked in finding.causes[:2]:
            requests.append(Note(f"  cause: {ranked.cause.title} ({ranked.weight.reason})"))
        requests.append(Note(f"  more: trainwright explain {finding.symptom.name}"))
        if self._final or policy == "continue":
            return requests
        if finding.certain or (policy == "stop" and severity == "sick"):
            requests.append(Stop(finding.sentence()))
        return requests

    # ---- resume and phases -------------------------------------------------------------------------------------------

    def on_resume(self, view: "TrainingView") -> Requests:
        """Read the rows of the run so far, and the findings that were reported."""
        rows = view.run.rows()
        self.measured_real = any("real/coverage" in row for row in (*rows, view.unwritten))
        self.rows = compact(rows)
        self.reported = {str(f["symptom"]) for f in _open_findings(view.run.events())}
        self._pending = False
        return None

    def on_rebuild(self, view: "TrainingView", rebuilt: Rebuilt) -> Requests:
        """Use the settings and facts of the new phase."""
        self._facts = self._settings = None
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return the cadence of probes."""
        return {"measurements": self.measurements, "stride": self.stride}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the cadence of probes."""
        self.measurements, self.stride = state["measurements"], state["stride"]


def facts_of(model: "GenerativeModel", data: "Data") -> dict[str, Any]:
    """Return what is known of a run in addition to its signals and settings: plain values, kept in ``run.json``."""
    batch = model.config.train.batch_size
    return {"training": len(data), "batches_per_epoch": round(len(data) / batch, 2), **model.facts(data)}


def _open_findings(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for event in events:
        if event["event"] == "finding":
            found[event["symptom"]] = event
        elif event["event"] == "recovered":
            found.pop(event["symptom"], None)
    return list(found.values())

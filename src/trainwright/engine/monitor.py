"""The doctor beside a running loop: probes on a budget, the history of signals, the verdict, and an event for each change."""

import math
import time
from collections.abc import Container
from functools import cached_property
from typing import Any

from trainwright.config.base import flatten
from trainwright.diagnosis.doctor import Diagnosis, Finding, examine, warm_up
from trainwright.diagnosis.history import History, compact
from trainwright.diagnosis.probes.samples import SampleProbe
from trainwright.engine.model import Data, GenerativeModel
from trainwright.runs.folder import Run

REAL = 256  # images that samples are held beside
COPIES = 4096  # training images that copies are looked for among,
MOST_NUMBERS = 2**26  # if they have no more numbers than this
PART = 8  # an eighth of the samples of a look tells what a look costs
SEED = 1414213562  # the same noise at every look of every run
SHARE = 0.4  # of the watch budget that probes may take; grids, held-out measurements and the doctor have the rest


class Watcher:
    """Probes and doctor of one run. Everything here can be thrown away and made again from ``metrics.jsonl``."""

    def __init__(self, model: GenerativeModel, data: Data, run: Run, total: int) -> None:
        self.model, self.data, self.run = model, data, run
        self.settings = model.config.train
        self.samples: SampleProbe | None = None
        self.rows: list[dict[str, Any]] = []
        self.config = flatten(model.config)
        self.total = total
        self.stride = 1  # looks at held-out data per look at samples
        self.looks = 0
        self.measured_real = False  # whether a row of this run says what real data score
        self.reported: set[str] = set()
        self.latest: Diagnosis | None = None
        self._spent = 0.0

    def serve(self, model: GenerativeModel, total: int) -> None:
        """Goes on with another system of the same run: that of its next phase."""
        self.model, self.total = model, total
        self.settings, self.config = model.config.train, flatten(model.config)
        self.__dict__.pop("facts", None)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What is known beside signals and settings; only the process that examines needs it."""
        return facts_of(self.model, self.data)

    # ---- probes ------------------------------------------------------------------------------------------------------

    def probe(self, last: bool = False) -> dict[str, float]:
        """Signals of samples beside real images, if a look is due."""
        self.looks += 1
        if self.samples is None or (self.looks % self.stride and not last):
            return {}
        return self._sample()

    def prepare(self) -> None:
        """Measures the real images, and pays for what only a first look has to pay for."""
        if self.settings.probe_count and self.samples is None:
            real = self.data.images("train", REAL)
            if len(real) > 1:
                held_out = self.data.images("held_out", REAL)
                all_of_it = self.data.images("train", max(REAL, min(COPIES, MOST_NUMBERS // real[0].numel())))
                self.samples = SampleProbe(real, held_out, all_of_it, appearance=self.model.samples_are_images)
                self.samples.measure(real[: self.settings.probe_count])
        self.model.prepare_monitoring(self.data)
        warm_up()

    def _sample(self) -> dict[str, float]:
        assert self.samples is not None
        count = self.settings.probe_count
        found = {} if self.measured_real else self.samples.ceiling(count)
        self.measured_real = True
        self.model.prepare_sampling(self.data)
        found.update(self.samples.measure(self.model.sample(count, SEED)))
        found.update(self.model.probe(self.data, count, SEED))
        if self.model.averaged:
            found.update(self.samples.measure_diversity(self.model.sample(count, SEED, averaged=False), "raw"))
        return found

    def pace(self, step_seconds: float) -> None:
        """Sets how often samples are looked at, from the cost of a few samples beside that of a step."""
        if self.samples is None:
            return
        few = max(1, self.settings.probe_count // PART)
        begin = time.perf_counter()
        self.model.prepare_sampling(self.data)
        once, begin = time.perf_counter() - begin, time.perf_counter()
        self.model.sample(few, SEED)
        self.model.probe(self.data, few, SEED)
        probe_seconds = once + (time.perf_counter() - begin) * self.settings.probe_count / few
        allowed = SHARE * self.settings.monitor_budget * step_seconds * self.settings.validate_every
        self.stride = max(1, math.ceil(probe_seconds / max(allowed, 1e-9)))

    # ---- doctor ------------------------------------------------------------------------------------------------------

    def resume(self, pending: Container[str]) -> None:
        """Reads the rows of the run so far, and which findings were told.

        Args:
            pending: signals of the row that is not written yet.
        """
        rows = self.run.rows()
        self.measured_real = any("real/coverage" in row for row in (*rows, pending))
        self.rows = compact(rows)
        self.reported = {str(f["symptom"]) for f in _open_findings(self.run.events())}

    def row(self, row: dict[str, Any]) -> None:
        """Adds a row of signals."""
        self.rows.append(row)
        self.rows = compact(self.rows)

    def history(self) -> History:
        """What the doctor sees."""
        return History.of(self.rows, self.config, self.facts, self.total)

    def examine(self, elapsed: float, last: bool = False) -> list[Finding]:
        """Looks for every symptom unless the doctor has used up his share of the time; with ``probe_stride`` set no clock has a say, so
        that the same run is stopped at the same step again.

        Args:
            elapsed: seconds that the run has taken in this process.
            last: look in any case.

        Returns:
            Diagnoses that are new since the last look; their events are written.
        """
        if (
            not last
            and self.settings.probe_stride is None
            and self._spent > 0.15 * self.settings.monitor_budget * elapsed
        ):
            return []
        begin = time.perf_counter()
        found = self.latest = examine(self.history())
        self._spent += time.perf_counter() - begin
        now = {d.symptom.name: d for d in found.findings if d.observation.severity != "note" and d.follows is None}
        new = [d for name, d in now.items() if name not in self.reported]
        for finding in new:
            self.run.event("finding", int(found.step), **finding.as_dict())
        for name in sorted(self.reported - set(now)):
            self.run.event("recovered", int(found.step), symptom=name)
        self.reported = set(now)
        return new


def facts_of(model: GenerativeModel, data: Data) -> dict[str, Any]:
    """What is known of a run beside its signals and settings; plain values, kept in ``run.json``."""
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

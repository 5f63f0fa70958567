"""The doctor in any training loop: ``watch = trainwright.watch(...)`` before it, ``watch(step, loss=...)`` in it."""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainwright.diagnosis.doctor import Diagnosis, Finding, examine, warm_up
from trainwright.diagnosis.history import History, compact
from trainwright.diagnosis.probes.samples import SampleProbe
from trainwright.diagnosis.signal_names import derive, mapping
from trainwright.errors import UserError
from trainwright.metrics.reference_split import shuffled
from trainwright.runs.folder import append_line

DRAWN = 128  # samples per probe
EARLY = 0.9  # after a tenth of the run an eighth of the budget may be spent


class Watch:
    """Monitor of a training loop: records signals, probes samples and weights, and reports symptoms.

    Monitoring takes at most a given share of the loop's time.

    Args:
        total: planned number of steps, if known; thresholds in shares of the budget need it.
        folder: output folder for signals and findings, which ``trainwright doctor FOLDER`` reads; None writes nothing.
        sample: ``sample(n)`` -> (n, C, H, W) images in [-1, 1], or (n, D) vectors; its random draws do not count,
            and it must leave networks in the mode in which it found them.
        real: training data in the same form, the reference for samples.
        held_out: real data outside the training set, needed to detect memorisation.
        networks: networks by name, to measure the updates of their weights.
        settings: known settings (``lr_g``, ``max_beta``, ``n_critic``, ...), used to rank causes.
        facts: see :class:`~trainwright.diagnosis.history.History`; ``adversarial`` is inferred from the losses if not given.
        names: your name -> signal, for names that the table of common names does not contain.
        every: steps between probes of samples; None: as often as the budget allows, at most 40 times.
        budget: share of the loop's time that monitoring may take.
        say: function that receives a sentence for each new finding; None prints nothing.
    """

    def __init__(
        self,
        total: int | None = None,
        *,
        folder: str | Path | None = None,
        sample: Callable[[int], Tensor] | None = None,
        real: Tensor | None = None,
        held_out: Tensor | None = None,
        networks: Mapping[str, nn.Module] | None = None,
        settings: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
        names: Mapping[str, str] | None = None,
        every: int | None = None,
        budget: float = 0.01,
        say: Callable[[str], None] | None = print,
    ) -> None:
        if (sample is None) != (real is None):
            raise UserError("watch: sample and real belong together; give both, or neither.")
        self.total, self.folder = total, None if folder is None else Path(folder)
        self.networks, self.settings, self.facts = dict(networks or {}), dict(settings or {}), dict(facts or {})
        self.names, self.every, self.budget, self.say = dict(names or {}), every, budget, say
        self.sample, self.latest = sample, None
        self.probe: SampleProbe | None = None
        if real is not None and len(real) < 2:
            raise UserError(f"watch: real holds {len(real)} samples; at least 2 are needed for a comparison.")
        if real is not None:
            self.facts.setdefault("training", len(real))
            nothing = torch.empty(0, *real.shape[1:])
            chosen = shuffled(real, 256)
            self.probe = SampleProbe(chosen, nothing if held_out is None else held_out, shuffled(real, 4096))
            self.probe.measure(chosen[:DRAWN])  # warm-up, so that the first probe is not slower
        warm_up()
        self.rows: list[dict[str, float]] = []
        self.window: defaultdict[str, list[float | Tensor]] = defaultdict(list)
        self.reported: set[str] = set()
        self.started = time.perf_counter()
        self.spent = 0.0
        self._last = 0.0  # seconds of the latest probe
        self._before: dict[str, Tensor] = {}
        self._looked, self._written, self._step = -1, -1, 0
        self._stride, self._due = max(1, (total or 0) // 120), every or max(1, (total or 400) // 40)
        self._mapped: dict[str, str] = {}
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)

    latest: Diagnosis | None

    @property
    def cost(self) -> float:
        """Share of the time since the start that monitoring took."""
        return self.spent / max(time.perf_counter() - self.started, 1e-9)

    def __call__(
        self, step: int, signals: Mapping[str, float | Tensor] | None = None, **more: float | Tensor
    ) -> Diagnosis | None:
        """Record the signals of one step, and make a diagnosis when one is due.

        Returns:
            The new diagnosis if one was made at this step, else None.
        """
        begin = time.perf_counter()
        self._step = step = int(step)
        for given in (signals, more) if signals else (more,):
            for name, value in given.items():
                self.window[name].append(_kept(value) if isinstance(value, Tensor) else value)
        found = None
        if step - self._written >= self._stride:
            self._row(step)
        if step - self._looked >= self._due and not (self.every is None and self._over()):
            before = time.perf_counter()
            found = self.diagnose()
            self._last = time.perf_counter() - before
        self.spent += time.perf_counter() - begin
        return found

    def diagnose(self) -> Diagnosis:
        """Make a diagnosis now, regardless of the budget; for example at the end of a loop."""
        self._row(self._step)
        self.rows[-1].update(self._weights())
        if self.probe is not None and self.sample is not None and self._looked != self._step:
            if self._looked < 0:
                self.rows[-1].update(self.probe.ceiling(DRAWN))
            with _same_random_state():
                samples = self.sample(DRAWN).detach().cpu()
            self.rows[-1].update(self.probe.measure(samples))
        self._looked = self._step
        if self.folder is not None:
            append_line(self.folder / "metrics.jsonl", _finite(self.rows[-1]))
        self.latest = examine(self.history())
        self._tell(self.latest)
        return self.latest

    def history(self) -> History:
        """Return all signals so far as the doctor's input."""
        return derive(History.of(self.rows, self.settings, self.facts, self.total))

    def _over(self) -> bool:
        """True if the budget so far is used up.

        If the length is known, more of the budget is spent early, where a finding saves most.
        """
        if self._looked < 0:
            return False
        elapsed = time.perf_counter() - self.started
        if not self.total or self._step <= 0:
            return self.spent + self._last > self.budget * elapsed
        done = min(1.0, self._step / self.total)  # towards the end there must be time for this probe and a final one
        return self.spent + 2 * done * self._last > self.budget * elapsed / done * done**EARLY

    def _row(self, step: int) -> None:
        if not self._mapped.keys() >= self.window.keys():
            self._mapped = mapping(self.window, {k: v for k, v in self.names.items() if k in self.window})
        means = {self._mapped.get(n, n): sum(map(float, values)) / len(values) for n, values in self.window.items()}
        if self.rows and self.rows[-1]["step"] == step:
            self.rows[-1].update(means)
        else:
            self.rows.append({"step": step, **means})
            self.rows = compact(self.rows)
        self.window.clear()
        self._written = step

    def _weights(self) -> dict[str, float]:
        found = {}
        steps = max(1, self._step - max(self._looked, 0))
        for name, network in self.networks.items():
            now = nn.utils.parameters_to_vector(network.parameters()).detach().float().cpu()
            if name in self._before and self._step > self._looked:  # there is no update since a probe at this same step
                moved = float((now - self._before[name]).norm() / self._before[name].norm().clamp_min(1e-12))
                found[f"update_ratio/{name}"] = moved / steps
            self._before[name] = now
        return found

    def _tell(self, found: Diagnosis) -> None:
        now = {d.symptom.name: d for d in found.alarms}
        for name, finding in now.items():
            if name not in self.reported:
                self._say(finding, found)
        self.reported = set(now)

    def _say(self, finding: Finding, found: Diagnosis) -> None:
        if self.folder is not None:
            append_line(self.folder / "events.jsonl", {"step": found.step, "event": "finding", **finding.as_dict()})
        if self.say is not None:
            causes = "; ".join(f"{r.cause.title} ({r.weight.reason})" for r in finding.causes[:2])
            more = f". More: trainwright explain {finding.symptom.name}"
            self.say(f"trainwright: {finding.sentence()}" + (f". Likely: {causes}" if causes else "") + more)


def watch(total: int | None = None, **options: Any) -> Watch:
    """Return a monitor for your own training loop; see :class:`Watch`.

    Example::

        watch = trainwright.watch(total=10_000, sample=lambda n: G(torch.randn(n, 64)), real=images)
        for step, batch in enumerate(batches, 1):
            ...
            watch(step, loss_D=loss_d, loss_G=loss_g)
    """
    return Watch(total, **options)


@contextmanager
def _same_random_state() -> Iterator[None]:
    """Restore the global random state of PyTorch (CPU and CUDA), NumPy and Python, which a ``sample`` function may advance."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with torch.random.fork_rng(devices=list(devices)):
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)


def _kept(value: Tensor) -> float | Tensor:
    """Return the current value without its graph.

    A tensor on an accelerator stays there, so that no step waits for a transfer.
    """
    return value.item() if value.is_cpu else value.detach().clone()


def _finite(row: Mapping[str, float]) -> dict[str, float]:
    return {k: v for k, v in row.items() if np.isfinite(v)}

"""The doctor in anyone's training loop: ``watch = trainwright.watch(...)`` before it, ``watch(step, loss=...)`` in it."""

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

DRAWN = 128  # samples of a look
EARLY = 0.9  # after a tenth of the run an eighth of the budget may be spent


class Watch:
    """Collects signals, looks at samples and weights within a share of the time, and says what is wrong as soon as it is sure.

    Args:
        total: steps that the loop will take, if known; thresholds in shares of the budget need it.
        folder: where signals and findings are written (``trainwright doctor FOLDER`` reads them again); None: nowhere.
        sample: ``sample(n)`` -> (n, C, H, W) images in [-1, 1], or (n, D) vectors; its random draws do not count,
            and it must leave networks in the mode in which it found them.
        real: training data in the same form, for what samples are held beside.
        held_out: real data that are not trained on, for memorisation.
        networks: by name, to see whether they move.
        settings: whatever is known of the configuration (``lr_g``, ``max_beta``, ``n_critic``, ...): causes are ranked with it.
        facts: see :class:`~trainwright.diagnosis.history.History`; ``adversarial`` is found out from the losses if not given.
        names: your name -> signal, where the table of common names does not know yours.
        every: steps between looks at samples; None: as often as the budget allows, at most 40 times.
        budget: share of the loop's time that watching may take.
        say: called with a sentence for each new finding; ``print`` by default, None for silence.
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
            raise UserError(f"watch: real holds {len(real)} samples; at least 2 are needed to hold others beside them.")
        if real is not None:
            self.facts.setdefault("training", len(real))
            nothing = torch.empty(0, *real.shape[1:])
            chosen = shuffled(real, 256)
            self.probe = SampleProbe(chosen, nothing if held_out is None else held_out, shuffled(real, 4096))
            self.probe.measure(chosen[:DRAWN])  # the first look pays for warm-up
        warm_up()
        self.rows: list[dict[str, float]] = []
        self.window: defaultdict[str, list[float | Tensor]] = defaultdict(list)
        self.reported: set[str] = set()
        self.began = time.perf_counter()
        self.spent = 0.0
        self._last = 0.0  # seconds of the latest look
        self._before: dict[str, Tensor] = {}
        self._looked, self._written, self._step = -1, -1, 0
        self._stride, self._due = max(1, (total or 0) // 120), every or max(1, (total or 400) // 40)
        self._mapped: dict[str, str] = {}
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)

    latest: Diagnosis | None

    @property
    def cost(self) -> float:
        """Share of the time since the beginning that watching took."""
        return self.spent / max(time.perf_counter() - self.began, 1e-9)

    def __call__(
        self, step: int, signals: Mapping[str, float | Tensor] | None = None, **more: float | Tensor
    ) -> Diagnosis | None:
        """Records the signals of one step; looks at samples, weights and all signals when it is time.

        Returns:
            The newest examination if one was made now, else None.
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
        """Looks now, whatever the budget says: for the end of a loop, say."""
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
        """Everything so far, as the doctor sees it."""
        return derive(History.of(self.rows, self.settings, self.facts, self.total))

    def _over(self) -> bool:
        """Whether the budget so far is used up. Of a known length more of it goes to the beginning, where a finding saves most."""
        if self._looked < 0:
            return False
        elapsed = time.perf_counter() - self.began
        if not self.total or self._step <= 0:
            return self.spent + self._last > self.budget * elapsed
        done = min(1.0, self._step / self.total)  # towards the end there must be room for this look and a closing one
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
            if name in self._before and self._step > self._looked:  # nothing has moved since a look at this step
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
            causes = "; ".join(f"{r.cause.title} ({r.weight.because})" for r in finding.causes[:2])
            more = f". More: trainwright explain {finding.symptom.name}"
            self.say(f"trainwright: {finding.sentence()}" + (f". Likely: {causes}" if causes else "") + more)


def watch(total: int | None = None, **options: Any) -> Watch:
    """The doctor for your own loop; see :class:`Watch`.

    Example::

        watch = trainwright.watch(total=10_000, sample=lambda n: G(torch.randn(n, 64)), real=images)
        for step, batch in enumerate(batches):
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
    """The value as it is now, without its graph; one that is not on the CPU stays where it is, so that no step waits for it."""
    return value.item() if value.is_cpu else value.detach().clone()


def _finite(row: Mapping[str, float]) -> dict[str, float]:
    return {k: v for k, v in row.items() if np.isfinite(v)}

"""The doctor in any training loop: ``watch = trainwright.watch(...)`` before it, ``watch(step, loss=...)`` in it.

A watch reads and never writes: weights, buffers, gradients, modes and random state of the loop stay as they are, and an error in the
watch, or in the user's ``sample``, becomes a warning.
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainwright.diagnosis.doctor import FLOOR, Diagnosis, Finding, examine, warm_up
from trainwright.diagnosis.history import History, compact
from trainwright.diagnosis.inspection import inspect
from trainwright.diagnosis.kinds import KINDS, kinds_of
from trainwright.diagnosis.observing import experiments
from trainwright.diagnosis.observing.experiments import same_networks, same_random_state
from trainwright.diagnosis.observing.networks import user_frame
from trainwright.diagnosis.observing.observer import Observer, warn
from trainwright.diagnosis.probes.given import as_tensor, is_tokens, match_scale
from trainwright.diagnosis.probes.samples import SampleProbe
from trainwright.diagnosis.probes.tokens import TokenProbe
from trainwright.diagnosis.signal_names import AS_ERROR, AS_KL, derive, mapping
from trainwright.errors import UserError
from trainwright.files import write_text
from trainwright.metrics.latent import active_units, kl_per_dimension, prior_gap
from trainwright.metrics.reference_split import shuffled
from trainwright.runs.folder import append_line

DRAWN = 128  # samples per probe
FEWER = 64  # the same where a draw is dear
TRIED = 16  # samples of a first draw, which tells how dear one is
PROBES = (
    0.03,
    0.06,
    0.09,
    0.12,
    0.15,
    0.2,
    0.25,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
    1.0,
)  # shares of the run at which samples are probed
LOOKED = (0.06, 0.15, 0.3, 0.5, 0.8, 1.0)  # those of them at which the loop is inspected even if the probe is skipped
QUICK = 3.0  # seconds of a call of sample() below which the sampler is tried in any case
SHORT = 60.0  # seconds of a run below which probes may take more than the budget: up to a quarter of it, at most 2.5 seconds
STRUCTURE = 10  # calls after which it is tested on what outputs depend
INSPECTED = (5, 8, 14, 26, 50, 110)  # calls at which the loop is inspected without samples


class Watch:
    """Monitor of a training loop: records signals, inspects the loop, probes samples, and reports what is wrong and why.

    Networks, optimizers, rates, gradients and wiring are found out; nothing of them needs to be given. Monitoring takes at most a
    given share of the loop's time.

    Args:
        total: planned number of steps, if known; thresholds in shares of the budget need it.
        folder: output folder for signals and findings, which ``trainwright doctor FOLDER`` reads; None writes nothing.
        sample: ``sample(n)`` -> (n, C, H, W) images or (n, D) vectors in the scale of ``real``; its random draws do not count.
        real: training data in the same form, the reference for samples: a tensor, an array, a list, a Dataset or a DataLoader.
            uint8 is read as 0 to 255; integers of (n, L) are tokens.
        held_out: real data outside the training set, needed to detect memorisation.
        encode: for VAEs: ``encode(x)`` -> (mean, log variance), each (n, z); gives the KL in nats and active units.
        reconstruct: for VAEs and autoencoders: ``reconstruct(x)`` in the form of x; gives the error relative to that of the mean.
        networks: networks by name; they win over those that are found.
        optimizers: optimizers by name; then only these are observed.
        settings: known settings (``lr_g``, ``max_beta``, ``n_critic``, ...); they win over those that are seen.
        facts: see :class:`~trainwright.diagnosis.history.History`; ``adversarial`` is inferred from the losses if not given.
        kind: kind of model (``adversarial``, ``variational``, ``diffusion``, ``autoregressive``, ``prediction``, ``supervised``,
            ``fine_tune``).
        names: your name -> signal, for names that the table of common names does not contain.
        every: steps between probes of samples; None: as often as the budget allows, at most 40 times.
        budget: share of the loop's time that monitoring may take.
        say: function that receives a message for each new finding; None prints nothing.
    """

    def __init__(
        self,
        total: int | None = None,
        *,
        folder: str | Path | None = None,
        sample: Callable[[int], Any] | None = None,
        real: Any = None,
        held_out: Any = None,
        encode: Callable[[Tensor], Any] | None = None,
        reconstruct: Callable[[Tensor], Tensor] | None = None,
        networks: Mapping[str, nn.Module] | None = None,
        optimizers: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
        kind: str | None = None,
        names: Mapping[str, str] | None = None,
        every: int | None = None,
        budget: float = 0.01,
        say: Callable[[str], None] | None = print,
    ) -> None:
        if (sample is None) != (real is None):
            raise UserError("watch: sample and real belong together; give both, or neither.")
        for title, given in (
            ("networks", networks),
            ("optimizers", optimizers),
            ("settings", settings),
            ("names", names),
        ):
            if given is not None and not isinstance(given, Mapping):
                raise UserError(f"watch: {title} is a {type(given).__name__}; give a dict with a name for each entry.")
        if kind is not None and kind not in KINDS:
            raise UserError(f"watch: kind={kind!r} is not known; give one of {', '.join(KINDS)}.")
        self.total, self.folder = total, None if folder is None else Path(folder)
        self.networks, self.settings, self.facts = dict(networks or {}), dict(settings or {}), dict(facts or {})
        if kind is not None:
            self.facts["kind"] = kind
        self.names, self.every, self.budget, self.say = dict(names or {}), every, budget, say
        self.sample, self.latest = sample, None
        self.encode, self.reconstruct = encode, reconstruct
        self.probe: SampleProbe | TokenProbe | None = None
        self.real: Tensor | None = None
        self.samples: Tensor | None = None
        warm_up()
        self.rows: list[dict[str, float]] = []
        self.window: defaultdict[str, list[float | Tensor]] = defaultdict(list)
        self.reported: set[str] = set()
        self.verdicts: list[tuple[int, str, tuple[str, ...]]] = []  # step, verdict and alarms of each diagnosis
        self.failed: Exception | None = None
        self.started = time.perf_counter()
        self.spent = 0.0
        self._last = self._probing = 0.0  # seconds of the latest probe, and of all
        self._next = 0  # index of the next probe
        self._skipped = False  # a probe was due and too dear
        self._drawn = 0.0  # seconds of the latest call of sample
        self._count = 0  # samples per probe; 0 before the first one
        self._once = 0.0  # seconds of the latest probe for what is not done in every one
        self._calls = self._unsaved = 0
        self._looked, self._written, self._step = -1, -1, 0
        self._stride = max(1, (total or 0) // 120)
        self._mapped: dict[str, str] = {}
        self._before: dict[str, Tensor] = {}
        self._inspections: dict[str, dict[str, Any]] = {}
        self._named: set[str] = set()
        self._introduced = False
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        self._scaled = False
        self.observer = Observer(total, networks, optimizers)
        try:
            if real is not None:
                with same_random_state():
                    self._prepare(real, held_out)
        except UserError:
            self.observer.close()
            raise
        except Exception as error:
            self._fail(error)
        self.observer.look_around(lambda: user_frame())

    latest: Diagnosis | None

    @property
    def cost(self) -> float:
        """Share of the time since the start that monitoring took."""
        return (self.spent + self._in_hooks) / max(time.perf_counter() - self.started, 1e-9)

    @property
    def _in_hooks(self) -> float:
        """Seconds in hooks, those of calls inside ``sample`` included."""
        return self.observer.optimizers.spent + self.observer.calls.spent

    def __repr__(self) -> str:
        verdict = self.latest.verdict if self.latest else "no diagnosis yet"
        return f"Watch(step {self._step}{f' of {self.total}' if self.total else ''}: {verdict}, cost {self.cost:.1%})"

    def __call__(self, step: int, signals: Mapping[str, Any] | None = None, **more: Any) -> Diagnosis | None:
        """Record the signals of one step, and make a diagnosis when one is due.

        Values that are None are skipped.

        Returns:
            The new diagnosis if one was made at this step, else None.
        """
        if self.failed is not None:
            return None
        begin, hooks = time.perf_counter(), self._in_hooks
        try:
            return self._take(int(step), {**(signals or {}), **more})
        except Exception as error:
            self._fail(error)
            return None
        finally:
            self.spent += time.perf_counter() - begin - (self._in_hooks - hooks)

    def diagnose(self) -> Diagnosis:
        """Make a diagnosis now, regardless of the budget; for example at the end of a loop."""
        if self.failed is None:
            try:
                return self._diagnose()
            except Exception as error:
                self._fail(error)
        return self.latest or Diagnosis(
            "unknown", "the watch ended because of an error of its own", (), {}, (), float(self._step)
        )

    def look(self) -> Diagnosis:
        """Return :meth:`diagnose`, which had this name in version 0.1."""
        return self.diagnose()

    def close(self) -> Diagnosis:
        """Make the last diagnosis, say it in one sentence, and stop observing the loop."""
        found = self.diagnose()
        self.observer.close()
        if self.say is not None and found.verdict in ("healthy", "unknown") and self.failed is None:
            try:
                self.say(f"trainwright: {found.verdict} after {self._step} steps: {found.reason}")
            except Exception as error:
                self._fail(error)
        return found

    def history(self) -> History:
        """Return all signals so far as the doctor's input."""
        facts = self.observer.facts() | self.facts
        facts["inspections"] = list(self._inspections.values())
        return derive(History.of(self.rows, self._known(), facts, self.total))

    def _known(self) -> dict[str, Any]:
        """Return the settings that were seen or given."""
        weight = kl_weight(self.rows)
        return self.observer.settings() | ({} if weight is None else {"max_beta": weight}) | self.settings

    # ---- one step ------------------------------------------------------------------------------------------------------------

    def _take(self, step: int, given: Mapping[str, Any]) -> Diagnosis | None:
        self._step = step
        self._calls += 1
        for name, value in given.items():
            kept = _kept(value)
            if kept is not None:
                self.window[name].append(kept)
            elif value is not None and name not in self._named:
                self._named.add(name)
                warn(
                    f"trainwright.watch: {name} is {_described(value)} and is skipped; give one number, such as loss.mean()"
                )
        self.observer.record(step, given, user_frame)
        found = None
        if step - self._written >= self._stride or self._calls == 1:
            self._row(step)
        tried = self._tested()
        if tried < 2:
            self._experiment()
        if (self._calls in INSPECTED or tried != self._tested()) and self._inspect():
            self._row(step)
            found = self._conclude()
        if self._due(step):
            before = time.perf_counter()
            found = self._diagnose()
            spent = time.perf_counter() - before
            self._probing += spent
            self._last = spent - self._once  # an experiment is not repeated in every probe
            self.observer.before_probe()
        elif self._skipped:  # calls and updates are observed all the same, which takes little
            self._skipped = False
            self.observer.before_probe()
            if PROBES[self._next - 1] in LOOKED and self._inspect():
                self._row(step)
                found = self._conclude()
        return found

    def _diagnose(self) -> Diagnosis:
        self._once = 0.0
        self._row(self._step)
        self.rows[-1].update({n: v for n, v in self._weights().items() if n not in self.rows[-1]})
        if (
            self.probe is not None
            and self.sample is not None
            and self._looked != self._step
            and self.observer.failed is None
        ):
            samples = self._draw()
            if samples is not None and self._looked < 0 and isinstance(self.probe, SampleProbe):
                self.rows[-1].update(self.probe.ceiling(self._count))
            if samples is not None:
                self.rows[-1].update(self.probe.measure(samples))
        if self.real is not None and self.observer.failed is None and (self.encode or self.reconstruct):
            self.rows[-1].update(self._encoded())
        if not self.reconstruct and (found := self.observer.baseline()) is not None:
            self.rows[-1]["baseline/error_ratio"], name = found
            self.facts.setdefault("baseline", name)
        again, self._looked = self._looked == self._step, self._step
        before = time.perf_counter()
        if not again:
            self._experiment()
        self._once += time.perf_counter() - before
        self._inspect()
        return self._conclude()

    def _conclude(self) -> Diagnosis:
        self._save()
        self.latest = examine(self.history())
        self.verdicts.append((self._step, self.latest.verdict, tuple(d.symptom.name for d in self.latest.alarms)))
        self._tell(self.latest)
        return self.latest

    def _fail(self, error: Exception) -> None:
        self.failed = error
        self.observer.close()
        warn(
            f"trainwright.watch met an error and watches no longer ({type(error).__name__}: {error}); training is not affected"
        )

    # ---- samples -------------------------------------------------------------------------------------------------------------

    def _prepare(self, real: Any, held_out: Any) -> None:
        data = as_tensor(real, "real")
        if len(data) < 2:
            raise UserError(f"watch: real holds {len(data)} samples; at least 2 are needed for a comparison.")
        self.facts.setdefault("training", len(data))
        self._scaled = getattr(real, "dtype", None) in (torch.uint8, np.uint8)
        outside = None if held_out is None else as_tensor(held_out, "held_out")
        if is_tokens(data):
            self.facts.setdefault("tokens", True)
            self.observer.calls.length = data.shape[1]
            self.probe, self.real = TokenProbe(data), shuffled(data, 256)
            return
        data = data.float()
        chosen = shuffled(data, 256)
        self.real = chosen
        self.observer.spread, self.observer.elements = float(chosen.std()), chosen[0].numel()
        nothing = torch.empty(0, *data.shape[1:])
        self._make = lambda match: SampleProbe(
            match(chosen), match(nothing if outside is None else outside.float()), match(shuffled(data, 4096))
        )
        self.probe = self._make(lambda x: x)
        self.probe.measure(chosen[:DRAWN])  # warm-up, so that the first probe is not slower

    def _draw(self) -> Tensor | None:
        """Draw samples from the user's function without a trace in the loop; an exception of it ends the judgement of samples."""
        assert self.sample is not None and self.real is not None
        before = time.perf_counter()
        try:
            if not self._count:
                self._call_sample(TRIED)
                dear = len(PROBES) * (time.perf_counter() - before) > self._allowed()
                self._count = FEWER if dear else DRAWN
                self._once += time.perf_counter() - before
                before = time.perf_counter()
            samples = self._call_sample(self._count)
            samples = as_tensor(samples, "sample(n)")
        except Exception as error:
            warn(
                f"trainwright.watch: sample({self._count or TRIED}) failed ({type(error).__name__}: {error}); "
                "samples are not judged any more"
            )
            self.sample = None
            return None
        self._drawn = time.perf_counter() - before
        if samples.shape[1:] != self.real.shape[1:] and not isinstance(self.probe, TokenProbe):
            if samples[0].numel() == self.real[0].numel():
                samples = samples.reshape(len(samples), *self.real.shape[1:])
            else:
                warn(
                    f"trainwright.watch: sample(n) returns {tuple(samples.shape[1:])} and real holds {tuple(self.real.shape[1:])}; "
                    "samples are not judged"
                )
                self.sample = None
                return None
        if self._scaled and isinstance(self.probe, SampleProbe):
            match = match_scale(samples.float())
            self._scaled, self.real, self.probe = False, match(self.real), self._make(match)
        self.samples = samples
        return samples

    def _call_sample(self, count: int) -> Any:
        assert self.sample is not None
        self.observer.find()
        with same_random_state(), same_networks(self.observer), self.observer.sampling(count):
            try:
                with torch.no_grad():
                    return self.sample(count)
            except RuntimeError as error:
                if "grad" not in str(error):
                    raise
                return self.sample(count)  # guidance by a gradient needs one

    def _encoded(self) -> dict[str, float]:
        """Return signals of codes and reconstructions of real data; an exception of the user's functions ends this."""
        assert self.real is not None
        found: dict[str, float] = {}
        with same_random_state(), same_networks(self.observer), torch.no_grad():
            try:
                if self.encode is not None:
                    mean, log_variance = (t.detach().float().cpu() for t in self.encode(self.real)[:2])
                    each = kl_per_dimension(mean, log_variance).mean(0)
                    found["kl/nats_heldout"] = float(each.sum())
                    found["latent/active_share"] = active_units(mean) / mean.shape[1]
                    found["latent/prior_gap"] = prior_gap(
                        mean, log_variance, torch.zeros(mean.shape[1]), torch.ones(mean.shape[1])
                    )
                if self.reconstruct is not None:
                    again = self.reconstruct(self.real).detach().float().cpu()
                    error = (again - self.real).square().mean()
                    found["baseline/error_ratio"] = float(error / (self.real - self.real.mean(0)).square().mean())
                    self.facts["baseline"] = "the mean of the data"
            except Exception as error:
                warn(
                    f"trainwright.watch: encode or reconstruct failed ({type(error).__name__}: {error}); codes are not judged any more"
                )
                self.encode = self.reconstruct = None
        return found

    def _tested(self) -> int:
        """Return how many of the two kinds of experiments with inputs have been made."""
        return ("parts" in self.observer.seen) + ("condition" in self.observer.seen)

    def _experiment(self) -> None:
        """Vary inputs once the networks have started to learn and again at the end; try the sampler as soon as it is known."""
        seen, observer = self.observer.seen, self.observer
        if not observer.is_open or observer.over:
            return
        begun = self._step >= max(60, 0.1 * (self.total or 0)) and observer.watched >= 40
        end = bool(self.total) and self._step >= 0.9 * (self.total or 0)
        with observer._safely(), same_random_state(), same_networks(observer):
            if observer.watched >= STRUCTURE and ("parts" not in seen or (begun and "condition" not in seen)):
                experiments.test_structure(observer)
            if begun and ("condition" not in seen or end):
                experiments.vary_inputs(observer)
            if (
                self.sample is None
                or self.real is None
                or isinstance(self.probe, TokenProbe)
                or {"sampler", "path"} & set(seen)
            ):
                return
            if self._looked == self._step and observer.watched >= 12:
                allowed = self._allowed()
                affordable = self._drawn < QUICK or self._probing + self._drawn <= allowed
                experiments.try_sampler(observer, self.sample, self.real, user_frame(), affordable)

    # ---- inspections and signals ---------------------------------------------------------------------------------------------

    def _inspect(self) -> bool:
        """Inspect the loop; True if something new was found."""
        observer = self.observer
        if not observer.watched or observer.over:
            return False
        with observer._safely():
            known = set(self._inspections)
            found = inspect(observer.view(real=self.real, samples=self.samples))
            self._inspections = {
                r.cause: {**r.as_dict(), "step": self._inspections.get(r.cause, {"step": self._step})["step"]}
                for r in found
            }
            return any(r.cause not in known and r.severity != "note" for r in found)
        return False

    def _due(self, step: int) -> bool:
        """True if samples are to be probed at this step.

        The steps depend on the length of the run only, so that a slower machine does not see other things; a probe is skipped if
        it would take more time than the budget has.
        """
        if step == self._looked:
            return False
        if self.every is not None or not self.total:
            every = self.every or 10
            due = step - self._looked >= every
            return due and (self.every is not None or not self._over(step))
        while self._next < len(PROBES) and step >= PROBES[self._next] * self.total - 1:
            self._next += 1
            if self._next == len(PROBES) or step < PROBES[self._next] * self.total - 1:
                self._skipped = self._over(step)
                return not self._skipped
        return False

    def _over(self, step: int) -> bool:
        """True if a probe would exceed the budget of the whole run, as far as its length can be foreseen."""
        if self._looked < 0:
            return False
        allowed = self._allowed()
        left = 1 - self._next / len(PROBES) if self.total else 0.0  # the later probes must be paid for as well
        allowed *= 1 - 0.5 * left
        if self._probing + self._last > allowed:
            return True
        # of a run that is not short, all that monitoring takes counts, but half of the budget is for probes in any case
        short = self._whole() < SHORT
        return (
            not short
            and self.spent + self._in_hooks + self._last > allowed
            and self._probing + self._last > 0.5 * allowed
        )

    def _whole(self) -> float:
        """Return the seconds of the whole run, as far as its length can be foreseen."""
        elapsed = time.perf_counter() - self.started
        return elapsed / max(self._step / self.total, 1e-3) if self.total else elapsed

    def _allowed(self) -> float:
        """Return the seconds that probes may take in the whole run."""
        whole = self._whole()
        return self.budget * whole if whole >= SHORT else max(self.budget * whole, min(2.5, 0.25 * whole))

    def _row(self, step: int) -> None:
        if not self._mapped.keys() >= self.window.keys():
            posterior = any(g.latent for g in self.observer.graphs.values())
            known = {**dict.fromkeys(AS_KL, "kl/raw"), **dict.fromkeys(AS_ERROR, "reconstruction/weighted")}
            known = (known if posterior else {}) | self.names
            self._mapped = mapping(self.window, {k: v for k, v in known.items() if k in self.window})
            self._name_unknown()
        means = {self._mapped.get(n, n): sum(map(float, values)) / len(values) for n, values in self.window.items()}
        means |= {n: v for n, v in self.observer.signals().items() if n not in means}
        if self.rows and self.rows[-1]["step"] == step:
            self.rows[-1].update(means)
        else:
            self._save()
            self.rows.append({"step": step, **means})
            self._unsaved += 1
            self.rows = compact(self.rows)
        self.window.clear()
        self._written = step

    def _weights(self) -> dict[str, float]:
        """Return the relative update per step of networks that were given, for loops without PyTorch's optimizers."""
        found = {}
        steps = max(1, self._step - max(self._looked, 0))
        for name, network in self.networks.items():
            now = nn.utils.parameters_to_vector(network.parameters()).detach().float().cpu()
            if name in self._before and self._step > self._looked:  # there is no update since a probe at this same step
                moved = float((now - self._before[name]).norm() / self._before[name].norm().clamp_min(1e-12))
                found[f"update_ratio/{name}"] = moved / steps
            self._before[name] = now
        return found

    def _name_unknown(self) -> None:
        unknown = sorted(n for n in self.window if n not in self._mapped and n not in self._named and "/" not in n)
        self._named |= set(unknown)
        if unknown and self.say is not None:
            self.say(
                f"trainwright: {', '.join(unknown)}: meaning unknown, so only their numbers are watched; "
                'name them with names={"' + unknown[0] + '": "SIGNAL"} (signals: docs/reference/signals.md)'
            )

    def _save(self) -> None:
        """Write the rows that are complete, and everything else that a later reading needs."""
        if self.folder is None or not self.rows:
            return
        for row in self.rows[len(self.rows) - self._unsaved :] if self._unsaved else ():
            append_line(self.folder / "metrics.jsonl", _written(row))
        self._unsaved = 0
        known = {
            "total": self.total,
            "settings": self._known(),
            "facts": self.observer.facts() | self.facts | {"inspections": list(self._inspections.values())},
        }
        write_text(self.folder / "watch.json", json.dumps(known, indent=1, default=str))

    # ---- messages ------------------------------------------------------------------------------------------------------------

    def _tell(self, found: Diagnosis) -> None:
        now = {d.symptom.name: d for d in found.alarms}
        for name, finding in now.items():
            key = (
                name + ":" + ",".join(sorted(e.signal for e in finding.observation.evidence))
                if name == "wiring"
                else name
            )
            if key not in self.reported:
                self.reported.add(key)
                self._say(finding, found)
        self.reported = {k for k in self.reported if k.partition(":")[0] in now}

    def _say(self, finding: Finding, found: Diagnosis) -> None:
        if self.folder is not None:
            append_line(self.folder / "events.jsonl", {"step": found.step, "event": "finding", **finding.as_dict()})
        if self.say is not None:
            self.say(message(finding, found, "" if self._introduced else self._kind()))
            self._introduced = True

    def _kind(self) -> str:
        kinds = kinds_of(self.history())
        return " and ".join(KINDS[k] for k in sorted(kinds))


def kl_weight(rows: list[dict[str, Any]]) -> float | None:
    """Return the weight of the KL in a loss that is logged as well as its other term: (loss - term) / KL, if that is constant.

    Args:
        rows: readings by signal; of the newest, at least four must hold all three values.
    """
    newest = [r for r in rows[-LAST:] if np.isfinite(r.get("kl/raw", np.nan)) and r["kl/raw"] > 0]
    if len(newest) < 4:
        return None
    names = sorted(n for n in set.intersection(*(set(r) for r in newest)) if "/" not in n or n in LOSSES)
    kl = np.array([r["kl/raw"] for r in newest])
    for total in (n for n in names if n in ("loss", "vae/loss") or "loss" in n or "elbo" in n):
        for term in names:
            if term in (total, "kl/raw"):
                continue
            values = np.array([r[total] - r[term] for r in newest]) / kl
            scale = max(float(np.abs(values).max()), 1e-9)
            precise = float(np.max(np.abs([r[total] for r in newest]))) * 1e-6 / float(kl.min())
            if -precise <= values.min() and np.ptp(values) <= 0.01 * scale + precise:
                return max(0.0, float(np.median(values)))
    return None


LAST = 12  # readings that the weight of the KL is inferred from
LOSSES = ("vae/loss", "reconstruction/weighted")


def message(finding: Finding, found: Diagnosis, kind: str = "") -> str:
    """Return what is said about a new finding: verdict, evidence, likely causes, and what to do."""
    what = f" ({kind})" if kind else ""
    lines = [
        f"trainwright: {finding.severity} at step {found.step:.0f}{what}: {finding.title} since step {finding.onset}"
    ]
    likely = [r for r in finding.causes if r.weight.score >= FLOOR][:2]
    told = {r.weight.reason for r in likely}
    lines += [f"  {sentence}" for sentence in finding.evidence[:3] if sentence not in told]
    for ranked in likely:
        lines.append(f"  likely: {ranked.cause.title} ({ranked.weight.reason})")
        advice = ranked.weight.advice or ranked.cause.advice
        if advice:
            lines.append(f"  do: {advice}")
    if not likely:
        lines.append(f"  {finding.no_cause()}")
    lines.append(f"  more: trainwright explain {finding.symptom.name}")
    return "\n".join(lines)


def watch(total: int | None = None, **options: Any) -> Watch:
    """Return a monitor for your own training loop; see :class:`Watch`.

    Example::

        watch = trainwright.watch(total=10_000, sample=lambda n: G(torch.randn(n, 64)), real=images)
        for step, batch in enumerate(batches, 1):
            ...
            watch(step, loss_D=loss_d, loss_G=loss_g)
    """
    return Watch(total, **options)


def _kept(value: Any) -> float | Tensor | None:
    """Return the current value without its graph; None for what is no number.

    A tensor on an accelerator stays there, so that no step waits for a transfer.
    """
    if isinstance(value, Tensor):
        if value.numel() != 1:
            return None
        return value.item() if value.is_cpu else value.detach().clone()
    if isinstance(value, bool | int | float | np.number):
        return float(value)
    return None


def _described(value: Any) -> str:
    return f"a tensor of {value.numel()} numbers" if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _written(row: Mapping[str, float]) -> dict[str, Any]:
    """Return a row for a file: what is not finite becomes a word, since JSON has no number for it."""
    return {k: v if np.isfinite(v) else str(float(v)) for k, v in row.items()}

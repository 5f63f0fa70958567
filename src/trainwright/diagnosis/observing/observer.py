"""Observation of a whole loop: finds its networks and optimizers, follows gradients and calls, reads the graphs of its losses."""

import math
import re
import sys
import time
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from trainwright.diagnosis.observing import errors
from trainwright.diagnosis.observing.calls import Call, CallObserver, with_targets
from trainwright.diagnosis.observing.graph import LossGraph, read_graph
from trainwright.diagnosis.observing.networks import (
    Network,
    find_networks,
    initial_weights,
    invalid_constants,
    is_framework,
    living,
    names_in,
    role_of,
    storage,
    tables,
    user_frame,
)
from trainwright.diagnosis.observing.optimizers import GradientFlow, OptimizerObserver, OptimizerRecord

WINDOW = 8  # calls of the watch during which calls of networks are observed, at the beginning
AGAIN = 3  # the same, around each probe
MOST_PARTS = 12  # layers of a network that are observed
KEPT_TURNS = 64  # turns whose losses are kept
REREAD = 24  # times that losses are read because a gradient is 0
OPENED = 17  # windows that are opened whatever the time
READ_AT = (2, 12)  # steps of an optimizer before which losses of the calling functions are read
FOREIGN = (  # packages that hold no losses of the user
    "torch",
    "lightning",
    "pytorch_lightning",
    "accelerate",
    "transformers",
    "contextlib",
)
SHARE = 0.004  # share of the loop's time for measurements that are not needed for a finding at the beginning


@dataclass(eq=False)
class Average:
    """Moving average of a network's weights that the loop keeps, as another module or as a list of tensors."""

    network: Network
    of: Network
    buffers_follow: bool | None = None
    decay: float = math.nan


MASKED = 0.05  # share of a token in inputs, from which it may be a mask


@dataclass(eq=False)
class Observed:
    """All that inspections look at.

    Attributes:
        networks: networks that an optimizer holds, or that were called.
        optimizers: records of optimizers that have stepped, and of those that exist without having stepped.
        idle: optimizers that exist and have not stepped.
        owner: optimizer records by id of parameter.
        graphs: newest graph of each loss, by the user's name.
        values: newest value of each loss.
        calls: observed calls, oldest first.
        per_sample: calls of each network in one call of ``sample``.
        average: moving average that is sampled from, if one was recognised.
        watched: number of calls of the watch.
        total: planned number of steps.
        changed: ids of parameters that get gradients, whether an optimizer steps them or not.
    """

    networks: list[Network]
    optimizers: list[OptimizerRecord]
    idle: list[OptimizerRecord]
    flows: dict[int, list[GradientFlow]]
    graphs: dict[str, LossGraph]
    values: dict[str, float]
    calls: list[Call]
    per_sample: dict[str, int]
    average: Average | None
    watched: int
    step: int
    total: int | None
    real: Tensor | None = None
    samples: Tensor | None = None
    alphas: Tensor | None = None
    changed: frozenset[int] = frozenset()
    scalars: Mapping[int, Sequence[float]] = field(
        default_factory=dict
    )  # losses of the turns in which calls are observed
    more: dict[str, Any] = field(default_factory=dict)
    _targets: dict[int, list[tuple[Call, Tensor]]] = field(default_factory=dict, repr=False)

    def of(self, role: str) -> list[Network]:
        """Return the networks of a role."""
        return [n for n in self.networks if n.role == role]

    def record_of(self, network: Network) -> OptimizerRecord | None:
        """Return the optimizer that steps a network's parameters, the one with most of them."""
        ids = {id(p) for p in network.module.parameters()}
        found = [r for r in self.optimizers if r.ids & ids]
        return max(found, key=lambda r: len(r.ids & ids)) if found else None

    def in_use(self, network: Network) -> list[Call]:
        """Return the calls of a network that were not made by ``sample``."""
        return [c for c in self.calls if c.network is network and not c.sampling]

    def targets_of(self, network: Network) -> list[tuple[Call, Tensor]]:
        """Return the calls of a network in training with their targets, see :func:`~.calls.with_targets`; read once a view."""
        if id(network) not in self._targets:
            self._targets[id(network)] = with_targets(self.in_use(network), self.scalars)
        return self._targets[id(network)]

    def in_sampling(self, network: Network) -> list[Call]:
        """Return the calls of a network that the latest ``sample`` made."""
        return [c for c in self.calls if c.network is network and c.sampling]

    def time_first(self, network: Network) -> bool:
        """True if a network takes (time, batch, ...), as recurrent layers do by default: axis 0 is as long as sequences of ``real``."""
        layers = [m for m in network.module.modules() if isinstance(m, nn.RNNBase)]
        if not layers or any(m.batch_first for m in layers) or self.real is None or self.real.ndim < 2:
            return False
        shapes = [c.arguments[0].shape for c in self.in_use(network) if c.arguments and len(c.arguments[0].shape) > 1]
        length = self.real.shape[1]
        return bool(shapes) and all(abs(s[0] - length) <= 1 < abs(s[1] - length) for s in shapes)

    def fills_in(self, network: Network) -> bool:
        """True for a model of masked tokens: ``sample()`` begins with the last token everywhere, which training inputs hold too."""
        for call in self.in_sampling(network)[:1]:
            for index, argument in enumerate(call.arguments):
                if argument.floating or argument.values.ndim != 2 or argument.values.shape[1] < 4:
                    continue
                token = argument.values.flatten()[0]
                trained = [c.arguments[index].values for c in self.in_use(network) if len(c.arguments) > index]
                shares = [
                    float((t == token).float().mean()) for t in trained if t.ndim == 2 and not t.is_floating_point()
                ]
                last = max((float(t.max()) for t in trained if t.numel()), default=0.0)  # a mask follows the symbols
                alone = bool((argument.values == token).all()) and float(token) == last > 0
                if alone and shares and sorted(shares)[len(shares) // 2] > MASKED:
                    return True
        return False

    def trained_as(self, network: Network) -> Network:
        """Return the network that an average follows; any other network itself."""
        return self.average.of if self.average is not None and self.average.network is network else network

    def holds(self, *kinds: type[nn.Module] | str, network: Network) -> bool:
        """True if a network has a layer of one of these classes, or whose class name contains one of these words."""
        for layer in network.module.modules():
            for kind in kinds:
                if isinstance(kind, str) and kind.lower() in type(layer).__name__.lower():
                    return True
                if isinstance(kind, type) and isinstance(layer, kind):
                    return True
        return False


class Observer:
    """Everything that a watch finds out by itself.

    Args:
        total: planned number of steps.
        networks: networks by name, if the user gave them; their names win.
        optimizers: optimizers by name, if the user gave them; then only these are observed.
    """

    def __init__(
        self,
        total: int | None = None,
        networks: Mapping[str, nn.Module] | None = None,
        optimizers: Mapping[str, Any] | None = None,
    ) -> None:
        self.total = total
        self.given, self.given_optimizers = dict(networks or {}), dict(optimizers or {})
        self.failed: Exception | None = None
        self.started = time.perf_counter()
        self.spent = 0.0
        self.networks: list[Network] = []
        self.parts: list[Network] = []  # layers of networks whose codes are drawn inside of them
        self.names: dict[int, str] = {}
        self.graphs: dict[str, LossGraph] = {}
        self.values: dict[str, float] = {}
        self.per_sample: dict[str, int] = {}
        self.alphas: Tensor | None = None
        self.spread, self.elements = 0.0, 0  # standard deviation of the data, and numbers in one sample
        self.average: Average | None = None
        self.watched = self.step = 0
        self._known: frozenset[int] = frozenset()
        self._scans = 0
        self._gradients: dict[int, float] = {}
        self._changed: set[int] = set()  # ids of parameters whose gradients changed between two searches
        self._scalars: dict[int, list[float]] = {}  # losses of the turns in which calls are observed
        self._wrappers: set[int] = set()  # modules that are not networks themselves
        self._told: dict[str, Any] = {}  # newest measurement that was reported as a signal
        self._buffered: list[weakref.ref[nn.Module]] = []
        self._read_at = self._reread = (
            0  # step of optimizers at which losses were read last, and how often because of a gradient of 0
        )
        self._opened = 0  # windows so far
        self._summed = 0  # turns in which a loss was the KL of the whole batch
        self._until = 0  # the window of calls is open before this call of the watch
        self._ema_before: tuple[Tensor, Tensor] | None = None
        self._ema_at = 0  # call of the watch at which these were copied
        self.seen: dict[str, Any] = {}
        self.optimizers = OptimizerObserver(self.fail, self._allowed, list(self.given_optimizers.values()) or None)
        self.calls = CallObserver(lambda: self.optimizers.ticks, self.fail)
        self.optimizers.on_step = self._before_step

    @property
    def cost(self) -> float:
        """Seconds spent in hooks and here."""
        return self.spent + self.optimizers.spent + self.calls.spent

    @property
    def is_open(self) -> bool:
        """True until :meth:`close` or an error."""
        return bool(self.optimizers.handles) and self.failed is None

    @property
    def over(self) -> bool:
        """True once every optimizer that stepped (or, if none did, every one) is gone: the loop's memory may be used again."""
        known = list(self.optimizers.records.values())
        known = [r for r in known if r.steps] or known
        return bool(known) and all(r.optimizer() is None for r in known)

    def close(self) -> None:
        """Remove every hook; what was learned stays."""
        for part in (self.optimizers, self.calls):
            with suppress(Exception):
                part.close()
        self.optimizers.handles = []

    def fail(self, error: Exception) -> None:
        """End the observation because of an error of ours; the loop continues."""
        if self.failed is None:
            self.failed = error
            warn(
                f"trainwright stopped observing networks and optimizers, since it met an error ({type(error).__name__}: {error}); "
                "signals are still judged, samples are not, and training is not affected"
            )
        self.optimizers.silent = self.calls.silent = True  # hooks are removed later, not while one of them runs

    def look_around(self, frame: Callable[[], FrameType | None]) -> None:
        """Learn the names that the user gave, before the first step."""
        with self._safely():
            self.names |= names_in(frame())
            self.seen["invalid"] = invalid_constants(frame())

    def record(self, step: int, losses: Mapping[str, Any], frame: Callable[[], FrameType | None]) -> None:
        """Take note of one call of the watch."""
        if self.failed is not None and self.optimizers.handles:
            self.close()
        if not self.is_open:
            return
        with self._safely():
            self.watched += 1
            self.calls.turn = self.watched
            self.step = step
            for record in self.optimizers.records.values():
                if record.steps > record.counted:
                    record.counted, record.watched_at = record.steps, self.watched
                low = record.rate <= 1e-4 * record.highest
                record.low_at = (step if record.low_at is None else record.low_at) if low else None
            if self.watched in (1, 3, WINDOW, 4 * WINDOW) or (self.calls.is_open and self._until - self.watched == 1):
                self._read_losses(losses, frame)
            if self._new_optimizers() or self.watched in (1, 2):
                self.names = names_in(frame()) | self.names
                self._find()
            elif self.watched in (24, 100):
                self._find()
            if self.watched == 3:
                if self._unwrap():
                    self._find()
                    self._open(WINDOW)
                if self._take_apart():
                    self._open(WINDOW)
            if self.watched == WINDOW - 1 and self._unwrap(uncalled=True):
                self._find()
                self._open(WINDOW)
            if self.watched in (4, WINDOW) or (self.calls.is_open and self._until - self.watched == 1):
                self._recognise()
            zero = [
                r for r in self.optimizers.records.values() if r.measured and r.norm == 0 and r.without_gradient == 0
            ]
            if zero and self._reread < REREAD and any(r.measured[-1].tick > self._read_at for r in zero):
                self._reread += 1
                self._read_losses(losses, frame)
            if "first_non_finite" not in self.seen and any(r.non_finite for r in self.optimizers.records.values()):
                self._read_losses(losses, frame)
                self.seen["first_non_finite"] = {
                    "finite": {n: math.isfinite(v) for n, v in self.values.items()},
                    "step": step,
                }
            if self.watched == 1:
                self.seen["initial"] = [r for n in self.networks if n.trained and (r := initial_weights(n)) is not None]
                self._open(WINDOW)
            elif self.calls.is_open and self.watched >= self._until:
                self.calls.close()
                self.optimizers.listening = False
            if self.calls.is_open:
                self.calls.tidy()
                self._scalars = dict(list(self._scalars.items())[-KEPT_TURNS:])
                self._scalars[self.watched - 1] = [
                    float(v.detach()) if isinstance(v, Tensor) else float(v)
                    for v in losses.values()
                    if isinstance(v, int | float) or (isinstance(v, Tensor) and v.numel() == 1 and v.is_cpu)
                ]
                if self._draws:
                    self._summed += errors.is_summed_kl(self.calls.calls, self._scalars, self.watched - 1)
            if self.average is not None and self.watched in (2, 3, 30, 31):
                self._follow_average()

    def before_probe(self) -> None:
        """Prepare what a probe needs: updates of the next steps, and a few calls."""
        if self.is_open:
            with self._safely():
                self.optimizers.want_updates()
                if not self.calls.is_open and (self._allowed() or self._opened < OPENED):
                    self._open(AGAIN)

    def find(self) -> None:
        """Search for networks now, if none is known."""
        if self.is_open and not self.networks:
            with self._safely():
                self._find()

    @contextmanager
    def sampling(self, wanted: int = 0) -> Iterator[None]:
        """Observe the calls that the user's ``sample`` makes for so many samples."""
        if not self.is_open:
            yield
            return
        opened = False
        with self._safely():
            opened = not self.calls.is_open
            if opened:
                self.calls.open([*self.networks, *self.parts])
            self.calls.begin_sampling(wanted)
        try:
            yield
        finally:
            with self._safely():
                counts = self.calls.end_sampling()
                if self.is_open and counts:
                    self.per_sample = {n.name: counts[id(n)] for n in self.networks if counts.get(id(n))}
                if opened:
                    self.calls.close()

    def buffered(self) -> list[nn.Module]:
        """Return all modules of the process that have buffers, found by the latest search."""
        return [m for r in self._buffered if (m := r()) is not None]

    def signals(self) -> dict[str, float]:
        """Return rates, gradient norms and relative updates of each network as signals."""
        found: dict[str, float] = {}
        for name, record in self._by_signal().items():
            if math.isfinite(record.rate):
                found[f"lr/{name}"] = record.rate
            if self._weightless(record):
                continue
            if (
                record.measured
                and record.measured[-1].with_gradient
                and self._is_new(f"grad_norm/{name}", record.measured[-1])
            ):
                found[f"grad_norm/{name}"] = record.norm
                if (share := record.clipped[1]) > 0:
                    found[f"clipped/{name}"] = share
            if record.updates and self._is_new(f"update_ratio/{name}", record.updates):
                found[f"update_ratio/{name}"] = record.updates[-1]
        return found

    def _weightless(self, record: OptimizerRecord) -> bool:
        """True if a gradient is 0 because its loss is: a term that has not started, or a hinge that is satisfied."""
        if not record.measured or record.norm != 0:
            return False
        return any(self.values.get(n) == 0.0 for n, g in self.graphs.items() if g.parameters & record.ids)

    def _is_new(self, signal: str, measurement: Any) -> bool:
        """True if a measurement has not been reported yet, so that each is one reading."""
        old, self._told[signal] = self._told.get(signal), measurement
        return old is not measurement

    def settings(self) -> dict[str, Any]:
        """Return the settings that can be seen: rates, momenta, weight decay, batch size, critic steps."""
        found: dict[str, Any] = {}
        records = self._by_signal()
        for name, key in (("generator", "lr_g"), ("discriminator", "lr_d"), ("critic", "lr_d")):
            if name in records and records[name].highest > 0:
                found[key] = records[name].highest
        stepping = [r for r in records.values() if r.steps]
        if len(stepping) == 1:
            found["lr"] = stepping[0].highest
        betas = [r.defaults["betas"] for r in stepping if r.defaults.get("betas")]
        if betas:
            found["beta1"] = float(max(b[0] for b in betas))
        decays = [
            float(r.defaults["weight_decay"])
            for r in stepping
            if isinstance(r.defaults.get("weight_decay"), int | float)
        ]
        if decays and max(decays) > 0:
            found["weight_decay"] = max(decays)
        limits = [limit for r in stepping for limit, share in [r.clipped] if share]
        if limits:
            found["max_grad_norm"] = min(limits)
        batches = [g.batch for g in self.graphs.values() if g.batch]
        if batches:
            found["batch_size"] = min(batches)
        reduction = errors.reduction(self.calls.calls, self.spread, self.elements) if self._draws else ""
        if reduction:
            found["reduction"] = reduction
        if self._summed >= AGAIN:
            found["kl_reduction"] = "batch"
        d, g = records.get("discriminator"), records.get("generator")
        if d is not None and g is not None and min(d.steps, g.steps) >= 2 and max(d.steps, g.steps) >= 24:
            found["n_critic"] = round(d.steps / g.steps, 1)
        return found

    def _active(self) -> list[Network]:
        """Return the networks that are trained or called; others may be left from an earlier loop in the same process."""
        called = {id(c.network) for c in self.calls.calls}
        return [n for n in self.networks if n.trained or id(n) in called or self.per_sample.get(n.name)]

    @property
    def scalars(self) -> Mapping[int, Sequence[float]]:
        """Losses that were handed over in the turns in which calls were observed."""
        return self._scalars

    def baseline(self) -> tuple[float, str] | None:
        """Return the error relative to that of the best constant prediction (see :mod:`~trainwright.diagnosis.observing.errors`)."""
        return errors.baseline(self.calls.calls, self._scalars)

    def facts(self) -> dict[str, Any]:
        """Return facts about the loop's structure."""
        found: dict[str, Any] = {}
        active = self._active()
        if active:
            found["networks"] = {
                n.name: {
                    "role": n.role,
                    "parameters": sum(p.numel() for p in n.module.parameters()),
                    "class": type(n.module).__name__,
                }
                for n in active
            }
        live = [r for r in self.optimizers.records.values() if r.steps]
        if live:
            found["optimizers"] = {
                r.name or r.kind: {"class": r.kind, "steps": r.steps, "rate": r.rate, "networks": self._held(r)}
                for r in live
            }
        if self.per_sample:
            found["calls_per_sample"] = dict(self.per_sample)
        sizes = {
            n.role: sum(p.numel() for p in n.module.parameters())
            for n in active
            if n.role in ("generator", "discriminator")
        }
        if len(sizes) == 2 and sizes["generator"]:
            found["parameter_ratio"] = sizes["discriminator"] / sizes["generator"]
        operations = set().union(*(g.operations for g in self.graphs.values())) if self.graphs else set()
        if operations:
            found["operations"] = sorted(operations)
        for network in self.networks:
            if network.role in ("generator", "decoder") and self.per_sample.get(network.name):
                kinds = {
                    f"{m.kernel_size[0]}/{m.stride[0]}"
                    for m in network.module.modules()
                    if isinstance(m, nn.ConvTranspose2d) and m.stride[0] > 1
                }
                found["transposed"] = ", ".join(sorted(kinds))
        if self._draws:
            found["posterior"] = True
            if self.elements:
                found["elements"] = self.elements
        if self.average is not None and not math.isnan(self.average.decay):
            found["ema_decay"] = self.average.decay
        return found

    def view(self, **more: Any) -> Observed:
        """Return what inspections look at."""
        records = [r for r in self.optimizers.records.values() if r.optimizer() is not None]
        return Observed(
            networks=self.networks,
            optimizers=[r for r in records if r.steps],
            idle=[r for r in records if not r.steps],
            flows=self.optimizers.flows,
            graphs=self.graphs,
            values=self.values,
            calls=self.calls.calls,
            per_sample=self.per_sample,
            average=self.average,
            watched=self.watched,
            step=self.step,
            total=self.total,
            alphas=self.alphas,
            changed=frozenset(self._changed),
            scalars=self._scalars,
            more=self.seen,
            **more,
        )

    def network_signal(self, network: Network) -> str:
        """Return the name of a network in signals: its role if it is the only one of it, else its own name."""
        same = [n for n in self.networks if n.role == network.role and n.trained]
        return (
            network.role
            if network.role != "model" and len(same) == 1
            else re.sub(r"\W+", "_", network.name).strip("_") or "model"
        )

    # ---- internals ---------------------------------------------------------------------------------------------------------

    def _allowed(self) -> bool:
        return self.cost <= SHARE * (time.perf_counter() - self.started)

    @property
    def _draws(self) -> bool:
        """True if a loss draws codes from a posterior."""
        return any(g.latent for g in self.graphs.values())

    @contextmanager
    def _safely(self) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        except Exception as error:
            self.fail(error)
        self.spent += time.perf_counter() - begin

    def _new_optimizers(self) -> bool:
        return self._scans < 12 and not self._known >= {k for k, r in self.optimizers.records.items() if r.steps}

    def _open(self, calls: int) -> None:
        if self.networks:
            self.calls.open([*self.networks, *self.parts])
            self.optimizers.listening = True
            self._until = self.watched + calls
            self._opened += 1

    def _find(self) -> None:
        """Find optimizers and networks by searching the objects of the process."""
        self._scans += 1
        alive = living(torch.optim.Optimizer, nn.Module)
        for optimizer in (o for o in alive if isinstance(o, torch.optim.Optimizer)):
            if self.optimizers.only is not None and id(optimizer) not in self.optimizers.only:
                continue
            self.optimizers.add(optimizer)
        for name, optimizer in self.given_optimizers.items():
            self.optimizers.add(optimizer).name = name
        for key, record in self.optimizers.records.items():
            record.name = record.name or self.names.get(key, "")
        self._known = frozenset(k for k, r in self.optimizers.records.items() if r.steps)
        modules = [m for m in alive if isinstance(m, nn.Module)]
        self._buffered = [weakref.ref(m) for m in modules if m._buffers]
        sets = [set(r.ids) for r in self.optimizers.records.values()]
        reached = set().union(*(g.parameters for g in self.graphs.values())) if self.graphs else set()
        self._changed |= self._changing_gradients(modules)
        reached |= self._changed
        loose = reached - set().union(*sets) if sets else reached
        if loose:
            sets.append(loose)
        given = {id(m): n for n, m in self.given.items()}
        if self.given:
            found = [Network(n, m, role_of(n, type(m).__name__)) for n, m in self.given.items()]
            covered = set().union(*(set(map(id, m.parameters())) for m in self.given.values()))
            found += find_networks([s - covered for s in sets if s - covered], self.names, modules, self._wrappers)
        else:
            found = find_networks(sets, self.names | given, modules, self._wrappers)
        known = {id(n.module): n for n in self.networks}
        self.networks = [known.get(id(n.module), n) for n in found]
        self._averages(modules)
        self.optimizers.tables |= {id(p) for m in modules for p in tables(m)}
        stepping = set().union(*(r.ids for r in self.optimizers.records.values() if r.steps), set())
        for network in self.networks:
            network.trained = any(id(p) in stepping for p in network.module.parameters())
            if not network.trained:
                network.beside_frozen = self._beside_frozen(network, modules)

    def _beside_frozen(self, network: Network, modules: Sequence[nn.Module]) -> bool:
        """True if a module of the user's holds a network together with frozen parameters."""
        own = {id(p) for p in network.module.parameters()}
        parents = (m for m in modules if network.module in list(m.children()) and not is_framework(m))
        return any(not p.requires_grad for m in parents for p in m.parameters() if id(p) not in own)

    def _unwrap(self, uncalled: bool = False) -> bool:
        """Look inside networks whose forward() returns only a loss, or is not called while their parts are; True if there are any."""
        known = len(self._wrappers)
        for network in self.networks:
            calls = [c for c in self.calls.calls if c.network is network and c.output is not None]
            scalars = calls and all(c.output is not None and c.output.numel() == 1 for c in calls) and len(calls) > 1
            own = {id(p) for p in network.module.parameters()}
            stepped = max((r.steps for r in self.optimizers.records.values() if r.ids & own), default=0)
            parted = uncalled and not calls and stepped >= WINDOW // 2
            if scalars or (parted and sum(any(True for _ in m.parameters()) for m in network.module.children()) > 1):
                self._wrappers.add(id(network.module))
        if len(self._wrappers) > known:
            self.average = None  # that of a wrapper; the one of what it holds is found again
        return len(self._wrappers) > known

    def _take_apart(self) -> bool:
        """Find the layers of networks that return mean and log-variance, to see the codes that they draw; True if there are any."""
        whole = {id(c.network): c.network for c in self.calls.calls if c.codes and not c.halves and not c.sampling}
        for network in whole.values():
            for name, layer in network.module.named_modules():
                first = layer[0] if isinstance(layer, nn.Sequential) and len(layer) else layer
                if layer is network.module or not any(True for _ in layer.parameters()) or first is not layer:
                    continue  # the first layer of a container is called with the same
                if isinstance(layer, nn.Linear) or name.rpartition(".")[2].lower().startswith("dec"):
                    self.parts.append(
                        Network(f"{network.name}.{name}", layer, "decoder", network.trained, part_of=network)
                    )
        self.parts = self.parts[:MOST_PARTS]
        return bool(self.parts)

    def _recognise(self) -> None:
        """Give roles to a discriminator and its generators that are called by other names.

        A discriminator gets what another trained network makes and, in the same form, data, and returns less than it gets.
        """
        if any(n.role == "discriminator" for n in self.networks):
            return
        for network in (n for n in self.networks if n.role == "model" and n.trained):
            if not any(p.requires_grad for p in network.module.parameters()):
                continue
            calls = [c for c in self.calls.calls if c.network is network and c.arguments and c.output is not None]
            calls = [c for c in calls if not c.sampling and c.arguments[0].floating]
            data = {c.arguments[0].shape[1:] for c in calls if c.source == "data"}
            made = [
                c
                for c in calls
                if c.source in ("generated", "attached")
                and (c.arguments[0].shape[1:] in data or math.prod(c.arguments[0].shape[1:]) == self.elements)
            ]
            small = all(c.output is not None and c.output.numel() * 8 <= c.arguments[0].values.numel() for c in calls)
            others = [c for c in self.calls.calls if c.network is not network and c.network.trained]
            outputs = {(c.address, c.turn): c.network for c in others}  # memory is used again in later turns
            makers = {id(m): m for c in made if (m := outputs.get((c.arguments[0].address, c.turn))) is not None}
            if made and small and makers and all(m.role in ("model", "decoder") for m in makers.values()):
                network.role = "discriminator"
                for maker in makers.values():
                    maker.role = "generator" if maker.role == "model" else maker.role
                return

    def _changing_gradients(self, modules: Sequence[nn.Module]) -> set[int]:
        """Return the parameters whose gradients have changed since the last search: something trains them, or forgets to."""
        now = {
            id(p): float(p.grad.detach().float().sum())
            for m in modules
            for p in m._parameters.values()
            if p is not None and p.requires_grad and p.grad is not None and not p.grad.is_sparse and p.grad.is_cpu
        }
        before, self._gradients = self._gradients, now
        return {i for i, value in now.items() if i in before and before[i] != value}

    def _averages(self, modules: Sequence[nn.Module]) -> None:
        """Find a module of the same structure as a trained one that no optimizer holds: a moving average."""
        held = set().union(*(r.ids for r in self.optimizers.records.values()), set())
        for network in list(self.networks):
            own = [(tuple(p.shape), p.dtype) for p in network.module.parameters()]
            for module in modules:
                if type(module) is not type(network.module) or module is network.module:
                    continue
                parameters = list(module.parameters())
                if not parameters or any(id(p) in held for p in parameters):
                    continue
                if [(tuple(p.shape), p.dtype) for p in parameters] != own or any(
                    n.module is module for n in self.networks
                ):
                    continue
                if id(module) not in self.names:
                    continue
                if self.average is not None and self.average.network.module is module:
                    self.networks.append(self.average.network)
                    continue
                copy = Network(self.names[id(module)], module, network.role, trained=False)
                self.networks.append(copy)
                if self.average is None:
                    self.average = Average(copy, network)

    def _follow_average(self) -> None:
        average = self.average
        assert average is not None
        with torch.no_grad():
            now = torch.cat([p.detach().flatten()[:2000] for p in average.network.module.parameters()]).float().cpu()
            source = torch.cat([p.detach().flatten()[:2000] for p in average.of.module.parameters()]).float().cpu()
        if self._ema_before is not None and self._ema_at == self.watched - 1:
            before, _ = self._ema_before
            toward = source - before
            size = float(toward.square().sum())
            if size > 1e-20:
                average.decay = min(1.0, max(0.0, 1 - float(((now - before) * toward).sum()) / size))
            self._ema_before = None
        else:
            self._ema_before, self._ema_at = (now, source), self.watched
        pairs = list(zip(average.network.module.named_buffers(), average.of.module.named_buffers(), strict=False))
        running = [(a, b) for (name, a), (_, b) in pairs if "running_" in name]
        if running and self.watched >= 3:
            moved = any(
                float((b - _initial(name)).abs().max()) > 1e-3 for (name, _), (_, b) in pairs if "running_" in name
            )
            still = all(float((a - _initial(name)).abs().max()) == 0 for (name, a), _ in pairs if "running_" in name)
            average.buffers_follow = not (moved and still) if moved else None

    def _before_step(self, record: OptimizerRecord) -> None:
        """Take note of a step of an optimizer; in a few of them, read the losses of the functions that it is called from."""
        self.calls.stepped(record.key)
        if record.steps not in READ_AT:
            return
        frame, seen = user_frame(), 0
        while frame is not None and seen < 3:
            if str(frame.f_globals.get("__name__", "")).partition(".")[0] not in FOREIGN:
                seen += 1
                for name, value in list(frame.f_locals.items()):
                    if isinstance(value, Tensor) and value.numel() == 1 and value.grad_fn is not None:
                        graph = read_graph(value)
                        if graph is not None and (graph.passed or graph.double_backward or not graph.waiting):
                            self.graphs[name] = graph
                            self.values[name] = float(value.detach())
            frame = frame.f_back

    def _read_losses(self, losses: Mapping[str, Any], frame: Callable[[], FrameType | None]) -> None:
        self._read_at = self.optimizers.ticks
        tensors = {
            n: v for n, v in losses.items() if isinstance(v, Tensor) and v.grad_fn is not None and v.numel() == 1
        }
        place = frame()
        if place is not None:
            locals_ = {
                n: v
                for n, v in list(place.f_locals.items())
                if isinstance(v, Tensor) and v.numel() == 1 and v.grad_fn is not None
            }
            same = {storage(v) for v in tensors.values()}
            for name, value in locals_.items():
                if storage(value) not in same:
                    tensors.setdefault(name, value)
        for name, loss in tensors.items():
            graph = read_graph(loss)
            if graph is not None:
                self.graphs[name] = graph
        given = {
            n: v for n, v in losses.items() if isinstance(v, int | float) or (isinstance(v, Tensor) and v.numel() == 1)
        }
        self.values = {
            n: float(v.detach() if isinstance(v, Tensor) else v)
            for n, v in (given | {n: t for n, t in tensors.items() if n not in given}).items()
        }
        bare = [n for n, v in given.items() if isinstance(v, Tensor) and v.grad_fn is None]
        self.seen["tensors_without_graph"] = bare if any(n in tensors for n in given) else []

    def _by_signal(self) -> dict[str, OptimizerRecord]:
        """Return the optimizer of each trained network by the network's name in signals."""
        found: dict[str, OptimizerRecord] = {}
        live = [r for r in self.optimizers.records.values() if r.steps]
        for record in live:
            networks = [n for n in self.networks if any(id(p) in record.ids for p in n.module.parameters())]
            if len(live) == 1 and len(networks) != 1:
                found["all"] = record
            for network in networks:
                name = self.network_signal(network)
                if name not in found or record.steps > found[name].steps:
                    found[name] = record
        return found

    def _held(self, record: OptimizerRecord) -> list[str]:
        return [n.name for n in self.networks if any(id(p) in record.ids for p in n.module.parameters())]


def warn(text: str) -> None:
    """Warn without ending the loop, also where warnings are errors."""
    try:
        warnings.warn(text, RuntimeWarning, stacklevel=4)
    except Warning:
        print(text, file=sys.stderr)


def _initial(name: str) -> float:
    return 1.0 if name.endswith("running_var") else 0.0

"""Observation of optimizers through PyTorch's process-wide hooks: which step, how often, with which rates and gradients.

Source of the hooks: ``torch.optim.optimizer.register_optimizer_step_pre_hook`` and ``..._post_hook``.
"""

import math
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

KEPT_COPY = 65_536  # numbers of a parameter that is compared between steps
ALL = 64  # steps that are all looked at; later ones as the time allows, at least every eighth
FIRST = 12  # steps of each optimizer that are all measured
EARLY = (0, 20, 24)  # steps whose updates are measured in any case
KEPT = 64  # readings kept for each network
SMALL = 4096  # largest parameter whose gradients are followed
MOST_COPIED = 20_000_000  # parameters whose values are copied to measure an update


@dataclass(eq=False)
class Step:
    """One measured step of an optimizer."""

    tick: int
    norm: float  # of the gradient, before the step
    with_gradient: int  # number of parameters that have one
    finite: bool


@dataclass(eq=False)
class OptimizerRecord:
    """Knowledge of one optimizer.

    Attributes:
        kind: its class name.
        steps: number of steps so far.
        rate: largest learning rate of its groups now.
        highest: largest learning rate so far.
        measured: newest measured steps.
        updates: relative sizes of measured updates.
        climbs: number of measured updates that point along the gradient instead of against it.
        kept: for each of the first updates of the sentinel, the share of it that was left before the next one.
    """

    key: int  # id of the optimizer
    reference: Any
    kind: str
    name: str
    parameters: list[Any] = field(default_factory=list)
    ids: frozenset[int] = frozenset()
    steps: int = 0
    rate: float = math.nan
    highest: float = 0.0
    low_at: int | None = None  # step of the watch at which the rate had fallen to nearly 0
    base: float = math.nan  # learning rate that a schedule is relative to
    defaults: dict[str, Any] = field(default_factory=dict)
    maximize: bool = False
    closure: bool = False  # its newest step computes the gradients itself, by a closure
    measured: list[Step] = field(default_factory=list)
    updates: list[float] = field(default_factory=list)
    first_update: float = 0.0  # relative size of the first measured update
    watched_at: int = 0  # call of the watch before which it stepped last
    counted: int = 0  # steps at that call
    last_tick: int = -1
    other_tick: int = -1  # newest step of another optimizer
    non_finite: int = 0
    reached: set[int] = field(default_factory=set)  # ids of parameters that had a gradient in a measured step
    moved: set[int] = field(default_factory=set)  # ids of those whose gradient was not 0
    asked: dict[int, tuple[int, int]] = field(
        default_factory=dict
    )  # while it was: number of measured steps, and the first of them
    rows: dict[int, Tensor] = field(
        default_factory=dict
    )  # which rows of tables (K, D) had a gradient in a measured step
    zeros: float = 0.0  # share of about the last 16 steps in which the sentinel's gradient was exactly 0
    sentinel: Any = None  # a small parameter whose gradient is checked in every step
    climbs: int = 0
    before: Any = None  # the sentinel before the newest step, and after it
    after: Any = None
    overwritten: int = 0  # steps before which something else had changed the sentinel
    kept: list[float] = field(
        default_factory=list
    )  # shares of the first updates that were still there before the next step
    without_gradient: int = 0  # consecutive measured steps in which no parameter had a gradient

    def optimizer(self) -> Any:
        """Return the optimizer, or None if it no longer exists."""
        return self.reference()

    @property
    def clipped(self) -> tuple[float, float]:
        """Limit that most measured gradient norms are equal to, and the share of norms at it; zeros if there is none."""
        norms = sorted(s.norm for s in self.measured if s.finite and s.norm > 0)
        if len(norms) < 8:
            return 0.0, 0.0
        limit = norms[len(norms) // 2]
        share = sum(abs(n - limit) < 1e-3 * limit for n in norms) / len(norms)
        return (limit, share) if share > 0.5 else (0.0, 0.0)

    @property
    def norm(self) -> float:
        """Newest gradient norm; NaN if none was measured."""
        return self.measured[-1].norm if self.measured else math.nan


class GradientFlow:
    """Follows the gradient of one small parameter between steps: is it cleared, does another loss add to it?

    A hook on the parameter runs before a new gradient is added, so ``p.grad`` still holds what was there.
    """

    def __init__(
        self,
        parameter: nn.Parameter,
        record: OptimizerRecord,
        clock: Callable[[], int],
        guard: Callable[[Exception], None],
    ) -> None:
        self.parameter, self.record, self.clock = parameter, record, clock
        self.first = True  # no gradient has arrived since the owner's last step
        self.newest: Tensor | None = None  # the gradient that arrived last
        self.kept = False  # the gradient holds one from before the owner's last step
        self.ticks: list[int] = []
        self.uncleared = self.mixed = self.clean = 0
        self.wiped = (
            False  # a gradient that had arrived since the owner's last step was cleared before the next one came
        )
        self.lost = 0  # steps before which that happened
        self.double = 0  # steps with gradients of several backward passes

        def arrive(new: Tensor) -> None:
            if self.handle is None:
                return
            try:
                self._arrive(new)
            except Exception as error:
                guard(error)

        arrive.__torch_unserializable__ = True  # type: ignore[attr-defined]  # a model may be saved as a whole meanwhile
        self.handle: Any = None
        self.handle = parameter.register_hook(arrive)

    def _arrive(self, new: Tensor) -> None:
        old = self.parameter.grad
        fresh = old is None or not bool(old.count_nonzero())
        if fresh:
            self.wiped |= bool(self.ticks) and self.ticks[-1] == self.clock()
            self.kept, self.ticks = False, []
        elif self.first:
            self.kept = True
        self.first = False
        self.newest = new.detach().clone()
        self.ticks.append(self.clock())

    def step(self) -> None:
        """Judge the gradient with which the owner steps now."""
        if self.ticks:
            others = self.record.other_tick
            if self.kept and not self._replaced():
                self.uncleared += 1
            elif self.ticks[0] < others <= self.ticks[-1]:
                self.mixed += 1
            else:
                self.clean += 1
            self.lost += self.wiped
            self.double += len(self.ticks) > 1
        self.first, self.ticks, self.wiped = True, [], False

    def _replaced(self) -> bool:
        """True if the gradient is the newest one alone, up to its length: something assigns it instead of adding to it."""
        now, newest = self.parameter.grad, self.newest
        if now is None or newest is None:
            return False
        a, b = now.detach().flatten().float(), newest.flatten().float()
        return float(torch.nn.functional.cosine_similarity(a, b, dim=0)) > 1 - 1e-5

    def close(self) -> None:
        """Stop following."""
        if self.handle is not None:
            self.handle.remove()
            self.handle = None


class OptimizerObserver:
    """Records the steps of every optimizer of the process while it is open.

    Args:
        guard: called with an exception of ours, which must not reach the loop.
        allowance: returns True while there is time for a measurement.
        only: optimizers to observe; None for all.
    """

    def __init__(
        self, guard: Callable[[Exception], None], allowance: Callable[[], bool], only: list[Any] | None = None
    ) -> None:
        from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

        self.guard, self.allowance = guard, allowance
        self.only = None if only is None else {id(o) for o in only}
        self.records: dict[int, OptimizerRecord] = {}
        self.flows: dict[int, list[GradientFlow]] = {}
        self.ticks = 0
        self.spent = 0.0
        self.silent = False  # True after an error
        self.listening = False  # True while calls of networks are observed
        self.tables: set[int] = set()  # ids of parameters (K, D) the use of whose rows is followed
        self._passed: set[int] = set()  # optimizers whose present step is skipped
        self._before: dict[int, list[Tensor]] = {}
        self._wanted: set[int] = set()
        self.on_step: Callable[[OptimizerRecord], None] | None = None
        mine = weakref.ref(self)
        self.handles = [
            register_optimizer_step_pre_hook(_hook(mine, "_before_step")),
            register_optimizer_step_post_hook(_hook(mine, "_after_step")),
        ]

    def close(self) -> None:
        """Remove every hook."""
        for handle in self.handles:
            handle.remove()
        for flows in self.flows.values():
            for flow in flows:
                flow.close()
        self.handles, self._before = [], {}

    def add(self, optimizer: Any, name: str = "") -> OptimizerRecord:
        """Return the record of an optimizer, made if it is new."""
        found = self.records.get(id(optimizer))
        if found is not None and found.optimizer() is optimizer:
            return found
        found = OptimizerRecord(id(optimizer), weakref.ref(optimizer), type(optimizer).__name__, name)
        self._read(found, optimizer)
        self.records[id(optimizer)] = found
        return found

    def want_updates(self) -> None:
        """Measure the length of the next update of each optimizer."""
        self._wanted = set(self.records)

    def _read(self, record: OptimizerRecord, optimizer: Any) -> None:
        groups = optimizer.param_groups
        if sum(len(g["params"]) for g in groups) != len(record.parameters):
            record.parameters = [p for g in groups for p in g["params"]]
            record.ids = frozenset(map(id, record.parameters))
        rates = [float(g["lr"]) for g in groups if "lr" in g]
        record.rate = max(rates) if rates else math.nan
        bases = [float(g["initial_lr"]) for g in groups if "initial_lr" in g]
        record.base = max(bases) if bases else math.nan
        record.highest = max(record.highest, record.rate if rates else 0.0)
        record.defaults = {k: groups[0].get(k) for k in ("betas", "weight_decay", "momentum", "eps") if k in groups[0]}
        record.maximize = bool(groups[0].get("maximize", False))

    def passes(self, record: OptimizerRecord) -> bool:
        """True for a later step that need not be looked at, in which case it is counted and nothing else."""
        if record.steps < ALL or record.steps % 8 == 0 or self._wanted or self.listening:
            return False
        return not self.allowance()

    def pass_over(self, record: OptimizerRecord, method: str) -> bool:
        """Count a step that is skipped, between its two hooks; False if it is to be measured."""
        if method == "_before_step":
            if not self.passes(record):
                return False
            record.before = record.after = None
            self._passed.add(record.key)
            return True
        if record.key not in self._passed:
            return False
        self._passed.discard(record.key)
        self.ticks += 1
        record.steps += 1
        record.last_tick = self.ticks
        return True

    def _before_step(self, optimizer: Any, closure: bool = False) -> None:
        if self.only is not None and id(optimizer) not in self.only:
            return
        record = self.add(optimizer)
        record.closure = closure
        self._read(record, optimizer)
        watched = record.sentinel
        if watched is not None and watched.numel() <= KEPT_COPY and watched.is_cpu:
            self._compare(record, watched)
        if not record.closure:
            self._look(record)
        wanted = id(optimizer) in self._wanted or record.steps in EARLY
        if wanted and sum(p.numel() for p in record.parameters) <= MOST_COPIED:
            self._before[id(optimizer)] = [p.detach().clone() for p in record.parameters]

    def _look(self, record: OptimizerRecord) -> None:
        """Look at the gradients with which an optimizer steps: before the step, or after one whose closure computes them."""
        for flow in self.flows.get(record.key, ()):
            flow.step()
        watched = record.sentinel
        if watched is not None and watched.grad is not None and watched.grad.is_cpu and watched.grad.numel():
            largest = float(watched.grad.abs().max())
            record.non_finite += not math.isfinite(largest)
            record.zeros += ((largest == 0) - record.zeros) / 16
        if self.on_step is not None:
            self.on_step(record)
        if record.steps < FIRST or (record.key in self._wanted) or (record.steps % 16 == 0 and self.allowance()):
            self._measure(record)

    def _after_step(self, optimizer: Any) -> None:
        if self.only is not None and id(optimizer) not in self.only:
            return
        record = self.records.get(id(optimizer))
        if record is None:
            return
        if record.closure:
            self._look(record)
        before = self._before.pop(id(optimizer), None)
        if before is not None:
            self._moved(record, before, [None if p.grad is None else p.grad.detach() for p in record.parameters])
            self._wanted.discard(id(optimizer))
        if record.before is not None:
            record.after = record.sentinel.detach().clone()
        self.ticks += 1
        record.steps += 1
        record.last_tick = self.ticks
        for other in self.records.values():
            if other is not record:
                other.other_tick = self.ticks
        if record.steps == 1:
            self._follow(optimizer, record)
        elif record.steps == 4 * FIRST:
            for flow in self.flows.get(id(optimizer), ()):
                flow.close()

    def _compare(self, record: OptimizerRecord, watched: Tensor) -> None:
        """Measure how much of the sentinel's latest update has lasted; something outside of the optimizer may put it back."""
        if record.after is not None:
            update, now = record.after - record.before, watched.detach() - record.before
            size = float(update.float().square().sum())
            put = watched.detach()[watched.detach() != record.after].abs()
            clipped = bool(len(put)) and float(put.max() - put.min()) <= 1e-6 * float(put.max())
            if size > 0 and not clipped and record.steps <= FIRST:
                record.kept.append(float((update.float() * now.float()).sum()) / size)
            record.overwritten += bool(len(put)) and not clipped and math.isfinite(float(put.sum()))
        record.before, record.after = watched.detach().clone(), None

    def _measure(self, record: OptimizerRecord) -> None:
        gradients = [p.grad for p in record.parameters if p.grad is not None]
        record.reached.update(id(p) for p in record.parameters if p.grad is not None)
        for p in record.parameters:
            if id(p) in self.tables and p.grad is not None and not p.grad.is_sparse:
                used = p.grad.detach().ne(0).any(1)
                record.rows[id(p)] = used if id(p) not in record.rows else record.rows[id(p)] | used
            if p.grad is not None and id(p) not in record.moved:
                count, since = record.asked.get(id(p), (0, record.steps))
                record.asked[id(p)] = count + 1, since
                if p.grad.is_sparse or bool(p.grad.detach().any()):
                    record.moved.add(id(p))
        dense = [g.detach() for g in gradients if not g.is_sparse]
        norm = float(torch.nn.utils.get_total_norm(dense)) if dense else (math.nan if gradients else 0.0)
        finite = math.isfinite(norm) or (not dense and bool(gradients))
        record.non_finite += not finite
        record.without_gradient = 0 if gradients else record.without_gradient + 1
        record.measured = [*record.measured[-KEPT:], Step(self.ticks, norm, len(gradients), finite)]

    def _moved(self, record: OptimizerRecord, before: list[Tensor], gradients: list[Tensor | None]) -> None:
        moved = size = along = 0.0
        for old, p, g in zip(before, record.parameters, gradients, strict=True):
            change = p.detach() - old
            moved += float(change.float().square().sum())
            size += float(old.float().square().sum())
            if g is not None and not g.is_sparse:
                along += float((change.float() * g.float()).sum())
        if size == 0:
            return
        record.first_update = record.first_update or math.sqrt(moved / size)
        record.updates = [*record.updates[-KEPT:], math.sqrt(moved) / max(math.sqrt(size), 1e-12)]
        if along > 0 and not record.maximize:
            record.climbs += 1

    def _follow(self, optimizer: Any, record: OptimizerRecord) -> None:
        """Follow the gradients of up to three small parameters that have one, and choose the one that is checked in every step."""
        with_gradient = [
            p
            for p in record.parameters
            if p.grad is not None and p.requires_grad and p.is_leaf and not p.grad.is_sparse
        ]
        record.sentinel = min(with_gradient, key=lambda p: (p.ndim < 2, p.numel()), default=None)
        small = sorted((p for p in with_gradient if p.numel() <= SMALL), key=lambda p: -p.numel())
        largest = max((float(p.grad.abs().max()) for p in small), default=0.0)
        chosen = [p for p in small if float(p.grad.abs().max()) >= 1e-4 * largest][:3]
        self.flows[id(optimizer)] = [GradientFlow(p, record, lambda: self.ticks, self.guard) for p in chosen]


def _hook(owner: "weakref.ref[OptimizerObserver]", method: str) -> Callable[..., None]:
    """Return a hook that does nothing once its observer is gone, and lets no exception of ours into the loop."""

    def hook(optimizer: Any, args: Any, kwargs: Any) -> None:
        observer = owner()
        if observer is None or observer.silent:
            return
        begin = time.perf_counter()
        record = observer.records.get(id(optimizer))
        if record is not None and record.reference() is optimizer and observer.pass_over(record, method):
            observer.spent += time.perf_counter() - begin
            return
        try:
            with torch.no_grad():
                if method == "_before_step":
                    observer._before_step(optimizer, (args[1] if len(args) > 1 else kwargs.get("closure")) is not None)
                else:
                    observer._after_step(optimizer)
        except Exception as error:
            observer.guard(error)
        observer.spent += time.perf_counter() - begin

    return hook

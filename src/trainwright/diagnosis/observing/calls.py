"""Observation of a few calls of the loop's networks: what goes in, what comes out, which gradient comes back."""

import itertools
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from trainwright.diagnosis.observing.graph import last_operation
from trainwright.diagnosis.observing.networks import Network, storage

Source = Literal["data", "generated", "attached", "penalty"]
MOST_CALLS = 120
VARIANCE = re.compile("var|sigma|std|scale")  # in the name of a layer
NEAR = 4e-3  # relative difference at which two losses count as the same
STEADY = 5  # calls in which a ratio must be the same
ROWS = 64  # rows of inputs and outputs that are kept
MOST_VALUES = 120_000  # numbers of a tensor that are kept


@dataclass(frozen=True)
class Slot:
    """Place of a tensor in a call, by its number among the arguments that were kept."""

    index: int


@dataclass(eq=False)
class Argument:
    """Tensor that a network was called with."""

    shape: tuple[int, ...]
    floating: bool
    values: Tensor  # at most ROWS rows, detached
    address: int
    requires_grad: bool

    @cached_property
    def varies(self) -> bool:
        """True if its rows differ."""
        return len(self.values) > 1 and bool((self.values != self.values[:1]).any())

    @cached_property
    def checksum(self) -> float:
        """Number that equal tensors share."""
        v = self.values.double().flatten()
        return (
            float((v * torch.linspace(0.5, 1.5, len(v), dtype=torch.float64, device=v.device)).sum()) if len(v) else 0.0
        )


@dataclass(eq=False)
class Call:
    """One call of a network.

    Attributes:
        tick: steps of optimizers before it.
        turn: calls of the watch before it.
        sampling: True if it was made inside the user's ``sample``.
        training: mode of the module.
        normalizes: True if its BatchNorm layers take the statistics of the batch; None if it has none, or they differ.
        source: of the first argument: real data (or anything that did not come from another network), the detached output of a
            network, an output that is still attached to its network, or an input whose gradient is asked for.
        last: the operation that produced the output, such as ``Tanh``, views ignored; empty without a graph.
        random: in sampling, a number that is the same in two calls if nothing was drawn between them.
        pulled: sum over the batch of the gradient's sign at the output, between -1 and 1, by the optimizer that stepped next.
    """

    network: Network
    tick: int
    sampling: bool
    training: bool
    arguments: list[Argument]
    output: Tensor | None
    address: int
    source: Source
    last: str
    graph: bool
    carried: bool = False
    template: tuple[list[Any], dict[str, Any]] | None = (
        None  # how to call again, tensors as Slot; None for nested arguments
    )
    gradients: list[Tensor] = field(default_factory=list)
    gradient: Tensor | None = None  # newest gradient at the output, at most ROWS rows
    gradient_numel: int = 0
    error: float = 0.0  # the mean squared error that would have the gradient
    turn: int = 0
    length: int = 0  # tokens of a sample, if real holds tokens
    normalizes: bool | None = None
    labelled: bool = False  # it returns a loss too, so that labels may be among its arguments
    opposed: bool = False  # two backward passes before one step sent gradients of opposite signs
    codes: tuple[Tensor, Tensor] | None = None  # two outputs of the same form (n, z), such as mean and log-variance
    halves: bool = False  # these are the halves of a single output
    pulled: dict[int, float] = field(default_factory=dict)
    random: int | None = None  # fingerprint of the random state in sampling; None if it is not known


def handed(call: Call, error: float, scalars: Mapping[int, Sequence[float]]) -> bool:
    """True if an error is one of the losses that were handed over in the turn of a call."""
    return any(abs(v - error) < NEAR * error for v in scalars.get(call.turn, ()))


def error_factor(calls: Sequence[Call], scalars: Mapping[int, Sequence[float]]) -> float | None:
    """Return the factor of a squared error in the loss: 1 for its mean, or the numbers of a sample for a sum over them.

    With the factor c, the squares of the gradient imply an error of c^2 times the mean, and a loss that holds the factor is c times the
    mean: their ratio is c in every step, and only a squared error has such a steady ratio. Other factors are weights, of which it
    is not known whether the loss that is handed over holds them.

    Returns:
        None if no loss that was handed over is the squared error at the output of these calls.
    """
    asked = [c for c in calls if c.gradient is not None and c.error and scalars.get(c.turn)]
    if sum(handed(c, c.error, scalars) for c in asked) > 0.6 * len(asked):
        return 1.0
    for place in range(min((len(scalars[c.turn]) for c in asked), default=0)):
        pairs = [(c, scalars[c.turn][place]) for c in asked]
        values = [v for _, v in pairs]
        if len(pairs) < STEADY or min(values) <= 0 or max(values) < 1.03 * min(values):
            continue
        ratios = sorted(c.error / v for c, v in pairs)
        middle = ratios[len(ratios) // 2]
        if sum(abs(r - middle) < NEAR * middle for r in ratios) < 0.9 * len(ratios):
            continue
        call = asked[-1]
        assert call.gradient is not None
        whole, each = call.gradient_numel, call.gradient[:1].numel()
        sums = (each, whole, 0.5 * each, 0.5 * whole, 0.5)
        if any(abs(middle - n) < NEAR * n for n in sums):
            return middle
    return None


def with_targets(calls: Iterable[Call], scalars: Mapping[int, Sequence[float]]) -> list[tuple[Call, Tensor]]:
    """Return calls with targets in the form of the output, read off the gradient of a squared error (see :func:`error_factor`)."""
    asked = [c for c in calls if c.gradient is not None and c.output is not None and c.error and scalars.get(c.turn)]
    factor = error_factor(asked, scalars)
    return [] if factor is None else [(c, t) for c in asked if (t := read_targets(c, factor)) is not None]


def read_targets(call: Call, factor: float = 1.0) -> Tensor | None:
    """Return the targets of a squared error at the output with this factor."""
    gradient, output = call.gradient, call.output
    if gradient is None or output is None or gradient.shape != output.shape:
        return None
    return output.float() - gradient.float() * (call.gradient_numel / (2 * factor))


def read_classes(call: Call) -> Tensor | None:
    """Return labels (n,), read off the gradient of a cross-entropy at logits (n, K)."""
    gradient, output = call.gradient, call.output
    if (
        gradient is None
        or output is None
        or gradient.ndim != 2
        or gradient.shape != output.shape
        or gradient.shape[1] < 2
    ):
        return None
    values = gradient.float()
    counted = values.abs().sum(1) > 0
    total = values.sum(1)[counted].abs() / values.abs().sum(1)[counted].clamp_min(1e-30)
    negative = (values < 0).sum(1)[counted]
    if not counted.any() or float((negative == 1).float().mean()) < 0.95:
        return None
    if float(total.max()) > 1e-2 and bool((values > 0).any()):  # of logits, or of log-probabilities
        return None
    return values.argmin(1)[counted]


def read_bits(call: Call) -> Tensor | None:
    """Return targets of 0 and 1 in the form of the output, read off the gradient of a mean binary cross-entropy at logits."""
    gradient, output = call.gradient, call.output
    if gradient is None or output is None or gradient.shape != output.shape or gradient.numel() != call.gradient_numel:
        return None
    targets = output.float().sigmoid() - gradient.float() * call.gradient_numel
    bits = targets.round().clamp(0, 1)
    return bits if float((targets - bits).abs().max()) < 0.02 and 0 < float(bits.mean()) < 1 else None


def read_tokens(call: Call) -> tuple[Tensor, Tensor] | None:
    """Return targets (n, T) and which of them count, read off the gradient of a cross-entropy at logits.

    The logits are (n, T, V), (n, V, T), or one of them flattened.
    """
    gradient, output = call.gradient, call.output
    if gradient is None or output is None or gradient.shape[1:] != output.shape[1:]:
        return None
    flat = gradient.ndim == 2 and call.length > 1 and gradient.shape[1] % call.length == 0
    if not flat and gradient.ndim != 3:
        return None
    forms = (
        (gradient.unflatten(1, (call.length, -1)), gradient.unflatten(1, (-1, call.length)).movedim(1, 2))
        if flat
        else (gradient, gradient.movedim(1, 2))
    )
    for values in (f.float() for f in forms if f.shape[2] > 2):
        counted = values.abs().sum(2) > 0
        negative = (values < 0).sum(2)[counted]
        total = values.sum(2)[counted].abs() / values.abs().sum(2)[counted].clamp_min(1e-30)
        one = counted.any() and float((negative == 1).float().mean()) > 0.95
        if one and (float(total.max()) < 1e-2 or not bool((values > 0).any())):  # of logits, or of log-probabilities
            return values.argmin(2), counted
    return None


def _fingerprint() -> int:
    """Return a number for the random states of PyTorch on the CPU, NumPy and Python."""
    other: Any = np.random.get_state(legacy=True)
    return hash((torch.get_rng_state().numpy().tobytes(), other[1].tobytes(), other[2], random.getstate()))


class CallObserver:
    """Hooks on the networks of a loop, open for a few steps at a time.

    Args:
        clock: returns the number of optimizer steps so far.
        guard: called with an exception of ours.
    """

    def __init__(self, clock: Callable[[], int], guard: Callable[[Exception], None]) -> None:
        self.clock, self.guard = clock, guard
        self.calls: list[Call] = []
        self.turn = self.length = 0
        self.sampling = False
        self.silent = False  # True after an error
        self.spent = 0.0
        self.handles: list[Any] = []
        self._outputs: dict[int, tuple[int, Network, Tensor]] = {}
        self._states: dict[int, tuple[int, Tensor]] = {}
        self._pending: list[Call] = []
        self._sampled: dict[int, int] = {}  # calls of each network in the present call of ``sample``
        self._rows: dict[int, float] = {}  # the same for each sample: a call of few rows counts in part
        self._norms: dict[int, list[nn.Module]] = {}  # BatchNorm layers of each network
        self._wanted = 0

    def begin_sampling(self, wanted: int = 0) -> None:
        """Mark the calls from now on as calls of ``sample`` for so many samples, and forget those of an earlier one."""
        self._wanted, self._rows = wanted, {}
        self.calls = [c for c in self.calls if not c.sampling]
        self.sampling, self._sampled = True, {}

    def end_sampling(self) -> dict[int, int]:
        """Return the number of calls of each network since :meth:`begin_sampling`, for each sample."""
        self.sampling = False
        return {network: max(1, round(rows)) for network, rows in self._rows.items()}

    def open(self, networks: Iterable[Network]) -> None:
        """Observe the calls of these networks from now on."""
        self.close()
        for network in networks:
            hook = self._hook(network)
            self.handles.append(network.module.register_forward_hook(hook, with_kwargs=True))

    def close(self) -> None:
        """Stop observing and let go of the tensors that were kept for comparison."""
        for handle in self.handles:
            handle.remove()
        self.handles = []
        self._outputs.clear()
        self._states.clear()
        self._pending = []

    @property
    def is_open(self) -> bool:
        """True while calls are observed."""
        return bool(self.handles)

    def stepped(self, optimizer: int) -> None:
        """Attribute the gradients that arrived since the last step to the optimizer that steps now."""
        for call in self._pending:
            signs = [float(g.float().sum()) for g in call.gradients]
            call.opposed |= len(signs) > 1 and min(signs) < 0 < max(signs)
            for gradient in call.gradients:
                flat = gradient.float()
                size = float(flat.abs().sum())
                if size > 0:
                    call.pulled[optimizer] = float(flat.sum()) / size
                call.gradient, call.gradient_numel = self._part(call.network, gradient), gradient.numel()
                call.error = float(flat.square().mean()) * gradient.numel() ** 2 / 4
            call.gradients = []

    def tidy(self) -> None:
        """Forget outputs of earlier steps."""
        now = self.clock()
        self._outputs = {k: v for k, v in self._outputs.items() if now - v[0] <= 4}
        self._states = {k: v for k, v in self._states.items() if now - v[0] <= 4}
        self._pending = [c for c in self._pending if now - c.tick <= 8]
        trained = [c for c in self.calls if not c.sampling]  # those of the latest ``sample`` are all kept
        if len(trained) > MOST_CALLS:
            dropped = set(map(id, trained[MOST_CALLS // 2 : -MOST_CALLS // 2]))
            self.calls = [c for c in self.calls if id(c) not in dropped]

    def _part(self, network: Network, tensor: Tensor) -> Tensor:
        """Return a copy of the first rows; few of them for large tensors, and for the many calls of a long sampler."""
        if not tensor.ndim:
            return tensor.detach().clone()
        often = self.sampling and self._sampled.get(id(network), 0) > 4
        rows = min(ROWS, max(1, (20_000 if often else MOST_VALUES) // max(1, tensor[:1].numel())))
        return tensor.detach()[:rows].clone()

    def _hook(self, network: Network) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            if self.silent:
                return
            begin = time.perf_counter()
            try:
                self._record(network, module, args, kwargs, output)
            except Exception as error:
                self.guard(error)
            self.spent += time.perf_counter() - begin

        return hook

    def _pair(self, call: Call) -> tuple[Tensor, Tensor] | None:
        """Return the outputs of two layers that are called one after the other with the same: mean and log-variance."""
        before = self.calls[-1] if self.calls else None
        a, b = (None if c is None else c.output for c in (before, call))
        if before is None or a is None or b is None or before.turn != call.turn or before.network is call.network:
            return None
        if not isinstance(call.network.module, nn.Linear) or not isinstance(before.network.module, nn.Linear):
            return None
        if not call.arguments or not before.arguments or call.arguments[0].address != before.arguments[0].address:
            return None
        if a.ndim != 2 or a.shape != b.shape or not a.is_floating_point() or not call.graph:
            return None
        return (b, a) if VARIANCE.search(before.network.name.lower()) else (a, b)

    def _normalizes(self, network: Network) -> bool | None:
        norms = self._norms.get(id(network))
        if norms is None:
            norms = [m for m in network.module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
            self._norms[id(network)] = norms
        modes = {m.training or not m.track_running_stats for m in norms}
        return modes.pop() if len(modes) == 1 else None

    def _is_code(self, whole: Network, args: Any) -> bool:
        """True if a layer is called with tensors of the form of a network's codes."""
        form = next(
            (c.codes[0].shape[1:] for c in self.calls[::-1] if c.network is whole and c.codes is not None), None
        )
        return bool(args) and isinstance(args[0], Tensor) and args[0].ndim == 2 and args[0].shape[1:] == form

    def _record(self, network: Network, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if torch.compiler.is_compiling() or (network.part_of is not None and not self._is_code(network.part_of, args)):
            return
        if self.sampling:
            self._sampled[id(network)] = self._sampled.get(id(network), 0) + 1
        tensors = [t for t in _tensors([*args, *kwargs.values()])]
        logits = getattr(output, "logits", None)  # a result of transformers, in which the loss comes first
        outputs = [logits] if isinstance(logits, Tensor) else [*_tensors([state_last(output)])]
        if self.sampling:
            shape = tuple(tensors[0].shape) if tensors else ()
            whole = not self._wanted or not shape or self._wanted in shape[:2]
            share = 1.0 if whole else min(1.0, shape[0] / self._wanted)
            self._rows[id(network)] = self._rows.get(id(network), 0.0) + share
        tick = self.clock()
        arguments = [
            Argument(tuple(t.shape), t.is_floating_point(), self._part(network, t), storage(t), t.requires_grad)
            for t in tensors
        ]
        main = outputs[0] if outputs else None
        source: Source = "data"
        if tensors:
            first = tensors[0]
            known = self._outputs.get(storage(first))
            if first.requires_grad and first.is_leaf and first.is_floating_point():
                source = "penalty"
            elif first.grad_fn is not None and (
                (known is not None and known[1] is not network) or _reaches(first, network)
            ):
                source = "attached"
            elif known is not None and known[1] is not network:
                source = "generated"
        carried = any(a.address in self._states and self._states[a.address][0] < tick for a in arguments[1:] or [])
        call = Call(
            network, tick, self.sampling, module.training, arguments, None if main is None else self._part(network, main),
            storage(main) if main is not None else 0, source,
            last_operation(main.grad_fn) if main is not None and main.grad_fn is not None else "",
            main is not None and main.requires_grad, carried, _template(args, kwargs),
            turn=self.turn, length=self.length, normalizes=self._normalizes(network),
            labelled=isinstance(logits, Tensor) or (len(outputs) > 1 and any(not o.ndim for o in outputs[1:])),
        )  # fmt: skip
        if self.sampling and all(t.device.type == "cpu" for t in tensors):
            call.random = _fingerprint()
        if not self.sampling:
            single = isinstance(network.module, nn.Linear)  # the halves of one layer's output are features
            call.codes = self._pair(call) or (None if single else _codes(outputs))
            call.halves = len(outputs) == 1
        self.calls.append(call)
        if main is not None and not self.sampling:
            self._outputs[storage(main)] = (tick, network, main.detach())
            for state in outputs[1:]:
                self._states[storage(state)] = (tick, state.detach())
            if main.requires_grad and main.is_floating_point():
                self._pending.append(call)
                main.register_hook(_keep(call))


def state_last(output: Any) -> Any:
    """Return an output with tensors before tuples of them, if it begins with a tuple: ``(state, logits)`` as ``(logits, state)``."""
    if isinstance(output, tuple | list) and output and isinstance(output[0], tuple | list):
        return [*(o for o in output if isinstance(o, Tensor)), *(o for o in output if not isinstance(o, Tensor))]
    return output


def _codes(outputs: list[Tensor]) -> tuple[Tensor, Tensor] | None:
    """Return the last two outputs if they are alike, (n, z), or the halves of a single one, (n, 2 z)."""
    flat = [
        o
        for o in outputs
        if o.ndim == 2 and o.is_floating_point() and o.grad_fn is not None and 4 <= o.numel() <= MOST_VALUES
    ]
    if len(flat) >= 2 and flat[-1].shape == flat[-2].shape:
        return flat[-2].detach().clone(), flat[-1].detach().clone()
    if len(outputs) == len(flat) == 1 and flat[0].shape[1] % 2 == 0:
        mean, other = flat[0].detach().clone().chunk(2, 1)
        return mean, other
    return None


def _template(args: Any, kwargs: Any) -> tuple[list[Any], dict[str, Any]] | None:
    """Return the arguments with tensors replaced by slots; None if something else than tensors and plain values is among them."""
    count = itertools.count()

    def kept(value: Any) -> Any:
        if isinstance(value, Tensor):
            return Slot(next(count))
        if value is None or isinstance(value, int | float | bool | str):
            return value
        raise TypeError

    try:
        return [kept(a) for a in args], {name: kept(value) for name, value in kwargs.items()}
    except TypeError:
        return None


def _keep(call: Call) -> Callable[[Tensor], None]:
    def keep(gradient: Tensor) -> None:
        call.gradients.append(gradient.detach())

    keep.__torch_unserializable__ = True  # type: ignore[attr-defined]
    return keep


def _reaches(tensor: Tensor, network: Network) -> bool:
    """True if a tensor's graph has any parameter, so that it comes from some network."""
    seen: set[Any] = set()
    stack: list[Any] = [tensor.grad_fn]
    while stack and len(seen) < 500:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if getattr(node, "variable", None) is not None:
            return True
        stack.extend(parent for parent, _ in node.next_functions)
    return False


def _tensors(values: Iterable[Any]) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from _tensors(value)
        elif isinstance(value, dict):
            yield from _tensors(value.values())
        elif hasattr(value, "sample") and isinstance(getattr(value, "sample", None), Tensor):
            yield value.sample

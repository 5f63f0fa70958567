"""Repetition of a recorded call on a copy of a network, with one input changed: does the input matter, does the mode?"""

import copy
import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn

from trainwright.diagnosis.observing.calls import Call, Slot, read_targets, state_last
from trainwright.diagnosis.observing.networks import Network

MOST = 20_000_000  # parameters of a network that is copied
MOST_PARTS = 32  # frames or elements of an input that are exchanged one by one
LARGE = 50.0  # numbers in an input from which its scale is looked at
IGNORED = 0.01  # change of the output, in its standard deviations, below which an input counts as ignored


class CannotRepeat(Exception):
    """A network cannot be called with fewer rows or other values, as with a state whose batch is not its first axis."""


def can_repeat(call: Call) -> bool:
    """True if a call can be made again from what was kept of it: at least four rows, and constants such as masks as a whole."""
    if not call.arguments or call.output is None or call.template is None or not call.arguments[0].values.ndim:
        return False
    rows = call.arguments[0].shape[0]
    return _rows(call) >= 4 and all(
        len(a.values) == a.shape[0] for a in call.arguments if a.values.ndim and a.shape[0] != rows
    )


def _rows(call: Call) -> int:
    """Return the number of rows that were kept of all arguments with one row per sample."""
    rows = call.arguments[0].shape[0]
    return min(len(a.values) for a in call.arguments if a.values.ndim and a.shape[0] == rows)


def _batch(call: Call) -> tuple[list[Tensor], list[bool]]:
    """Return the arguments, cut to the same rows, and which of them have rows."""
    rows, kept = call.arguments[0].shape[0], _rows(call)
    per_row = [bool(a.values.ndim) and a.shape[0] == rows for a in call.arguments]
    return [a.values[:kept] if each else a.values for a, each in zip(call.arguments, per_row, strict=True)], per_row


def _run(module: Any, call: Call, values: list[Tensor]) -> Tensor:
    """Return the first output of a module that is called as it was, with other tensors."""
    return _first(_called(module, call, values))


def _called(module: Any, call: Call, values: list[Tensor]) -> Any:
    assert call.template is not None

    def filled(value: Any) -> Any:
        return values[value.index] if isinstance(value, Slot) else value

    args, kwargs = call.template
    try:
        return module(*map(filled, args), **{name: filled(value) for name, value in kwargs.items()})
    except Exception as error:
        raise CannotRepeat from error


def test_conditions(network: Network, call: Call) -> dict[str, Any] | None:
    """Vary each argument of one number or class per row, and measure how much the output changes.

    Returns:
        ``ignored``: index of an argument without effect, or None; ``effect``: the largest change of the output that it caused, over
        the output's standard deviation. None if there is no such argument.
    """
    copied = _copy(network)
    if copied is None:
        return None
    values, per_row = _batch(call)
    rows = len(values[0])
    found: dict[str, Any] | None = None
    with _quiet():
        before = _run(copied, call, values)
        size = float(before.float().std())
        if not math.isfinite(size):
            return None
        for i, value in enumerate(values[1:], 1):
            targets = value.ndim > 1 and value.shape == values[0].shape and not value.is_floating_point()  # or a mask
            if not per_row[i] or targets or (call.labelled and not value.is_floating_point()):
                continue
            small = value.ndim == 1 or (value.ndim == 2 and value.shape[1] <= 128)
            if not small or not _varies(value):
                continue
            effect = 0.0
            for shift in (1, rows // 2):
                changed = [v.roll(shift, 0) if j == i else v for j, v in enumerate(values)]
                after = _run(copied, call, changed)
                effect = max(effect, float((after - before).float().square().mean().sqrt()) / max(size, 1e-12))
            found = {
                "network": network.name,
                "ignored": None,
                "effect": effect,
                "shape": tuple(call.arguments[i].shape),
            }
            if effect < IGNORED:
                return found | {"ignored": i}
    return found


def test_parts(network: Network, call: Call) -> dict[str, Any] | None:
    """Exchange one part of the input at a time between samples: frames (n, T, C, H, W), elements (n, T, F), or tokens (n, T).

    Tokens are parts if the output (n, V) is one for all of them.

    Returns:
        ``parts``: their number; ``used``: those on which the output depends. None if there are no such parts.
    """
    values, per_row = _batch(call)
    first = values[0]
    context = not first.is_floating_point() and first.ndim == 2 and call.output is not None and call.output.ndim == 2
    parted = context or (first.is_floating_point() and first.ndim in (3, 5))
    if not per_row[0] or not parted or not 2 <= first.shape[1] <= MOST_PARTS:
        return None
    copied = _copy(network)
    if copied is None:
        return None
    with _quiet():
        before = _run(copied, call, values).float()
        again = _run(copied, call, values).float()
        size = max(float(before.std()), 1e-12)
        if float((again - before).abs().max()) > 1e-4 * size:
            return None  # it draws random numbers
        used = []
        for part in range(first.shape[1]):
            changed = first.clone()
            changed[:, part] = first[:, part].roll(1, 0)
            if bool((changed == first).all()):
                used.append(part)  # nothing to exchange
                continue
            after = _run(copied, call, [changed, *values[1:]]).float()
            if float((after - before).abs().max()) > 1e-6 * size:
                used.append(part)
    return {"network": network.name, "parts": first.shape[1], "used": used}


def test_modes(network: Network, call: Call) -> dict[str, Any] | None:
    """Compare the output in training and in evaluation mode for the same input."""
    copied = _copy(network)
    if copied is None:
        return None
    values, _ = _batch(call)
    with _quiet():
        evaluated = _run(copied.eval(), call, values).float()
        trained = _run(copied.train(), call, values).float()
    difference = float((evaluated - trained).square().mean().sqrt()) / max(float(trained.std()), 1e-12)
    return {"network": network.name, "difference": difference, "sampled": "training" if call.training else "evaluation"}


def test_draws(network: Network, call: Call) -> dict[str, Any] | None:
    """Call a network twice with the same input in training mode: does anything in it draw random numbers?"""
    if (
        call.output is None
        or call.codes is None
        or call.output[0].numel() in (call.codes[0][0].numel(), 2 * call.codes[0][0].numel())
    ):
        return None  # an encoder, whose codes are drawn outside
    copied = _copy(network)
    if copied is None:
        return None
    values, _ = _batch(call)
    with _quiet():
        torch.manual_seed(0)
        first = _run(copied.train(), call, values).float()
        second = _run(copied, call, values).float()
    return {"network": network.name, "draws": bool((first != second).any())}


def test_scale(network: Network, call: Call) -> dict[str, Any] | None:
    """Measure what the first layer with weights gets when a network is called again: largest number and deviation."""
    if not call.arguments[0].floating or float(call.arguments[0].values.abs().max()) < LARGE:
        return None
    copied = _copy(network)
    if copied is None:
        return None
    got: list[tuple[float, float, str]] = []

    def note(layer: Any, args: Any) -> None:
        if args and isinstance(args[0], Tensor) and not got:
            got.append((float(args[0].abs().max()), float(args[0].float().std()), type(layer).__name__))

    for layer in copied.modules():
        if layer._parameters and any(p is not None for p in layer._parameters.values()):
            layer.register_forward_pre_hook(note)
    values, _ = _batch(call)
    with _quiet():
        _run(copied, call, values)
    return {"network": network.name, "largest": got[0][0], "std": got[0][1], "layer": got[0][2]} if got else None


def test_slope(network: Network, call: Call) -> dict[str, Any] | None:
    """Measure the mean norm of the gradient of a critic's scores at its inputs."""
    first = call.arguments[0]
    copied = _copy(network) if first.floating else None
    if copied is None:
        return None
    values, _ = _batch(call)
    with torch.enable_grad():
        x = values[0].detach().clone().requires_grad_()
        out = _called(copied, call, [x, *values[1:]])
        if not isinstance(out, Tensor) or not out.requires_grad:
            return None
        (gradient,) = torch.autograd.grad(out.sum(), x, allow_unused=True)
    if gradient is None:
        return None
    return {"network": network.name, "slope": float(gradient.flatten(1).norm(dim=1).mean())}


def test_neighbours(network: Network, call: Call) -> dict[str, Any] | None:
    """Compare the output for the last rows with that for the same rows after others, in evaluation mode.

    The last ones, since a recurrent network that runs over the batch by mistake carries its state from row to row.
    """
    copied = _copy(network)
    if copied is None:
        return None
    if isinstance(network.module, nn.RNNBase) and not network.module.batch_first:
        return None  # its rows are time steps
    values, per_row = _batch(call)
    rows = len(values[0])
    part = rows // 2
    last = [v[part:] if each else v for v, each in zip(values, per_row, strict=True)]
    with _quiet():
        together = _run(copied, call, values).float()
        if not together.ndim or together.shape[0] != rows:
            return None
        alone = _run(copied, call, last).float()
        again = _run(copied, call, values).float()
    size = max(float(together.std()), 1e-12)
    if alone.shape[0] != rows - part or float((again - together).abs().max()) > 1e-4 * size:
        return None  # it draws random numbers
    difference = float((alone - together[part:]).square().mean().sqrt()) / size
    return {"network": network.name, "difference": difference}


def test_future(network: Network, call: Call) -> dict[str, Any] | None:
    """Change the last element of a sequence, and see whether outputs of earlier elements change.

    Only for outputs (n, T, ...) or (n, V, T) of inputs (n, T, ...) with the same T of at least 4. Of several such inputs, as those of
    an encoder and of a decoder, the one counts on which earlier outputs depend least.
    """
    values, per_row = _batch(call)
    if call.output is None or call.output.ndim < 3:
        return None
    copied = _copy(network)
    if copied is None:
        return None
    found: list[dict[str, Any]] = []
    for place, each in enumerate(per_row):
        if place and call.labelled and not values[place].is_floating_point():
            continue  # targets
        result = (
            _change_last(copied, call, values, place) if each and _is_sequence(values[place], call.output) else None
        )
        if result is not None:
            found.append({"network": network.name, **result})
    return min(found, key=lambda r: float(r["earlier"])) if found else None


def _is_sequence(value: Tensor, output: Tensor) -> bool:
    kind = value.ndim == (3 if value.is_floating_point() else 2) or value.ndim == 5
    return kind and value.shape[1] >= 4 and value.shape[1] in (output.shape[1], output.shape[2])


def _change_last(copied: Any, call: Call, values: list[Tensor], place: int) -> dict[str, float] | None:
    first = values[place]
    changed = first.clone()
    places = range(first.shape[1] - 1, -1, -1)  # the last elements may all be padding
    other = max(places, key=lambda i: float((first[:, i].roll(1, 0) != first[:, -1]).float().mean()))
    changed[:, -1] = first[:, other].roll(1, 0)
    if bool((changed == first).all()):
        return None
    with _quiet():
        before = _run(copied, call, values).float()
        after = _run(copied, call, [changed if i == place else v for i, v in enumerate(values)]).float()
        again = _run(copied, call, values).float()
    size = max(float(before.std()), 1e-12)
    if float((again - before).abs().max()) > 1e-4 * size:
        return None  # it draws random numbers
    if before.shape[1] != first.shape[1]:  # channels first
        before, after = before.movedim(2, 1), after.movedim(2, 1)
    own = float((after - before)[:, -1].square().mean().sqrt()) / size
    return {
        "own": own,
        "past": _effect_of_past(copied, call, values, place, before),
        "earlier": float((after - before)[:, :-1].square().mean(0).flatten(1).mean(1).max().sqrt()) / size,
    }


def _effect_of_past(copied: Any, call: Call, values: list[Tensor], place: int, before: Tensor) -> float:
    """Return the largest change of later outputs (n, T, ...) if the first half of a sequence is exchanged between rows.

    NaN if that half is the same in all rows.
    """
    first, half = values[place], values[place].shape[1] // 2
    changed = first.clone()
    changed[:, :half] = first[:, :half].roll(1, 0)
    if bool((changed == first).all()):
        return math.nan
    with _quiet():
        after = _run(copied, call, [changed if i == place else v for i, v in enumerate(values)]).float()
    if after.shape != before.shape:  # channels first
        after = after.movedim(2, 1)
    return float((after - before)[:, half:].abs().max()) / max(float(before.std()), 1e-12)


def test_handed_targets(network: Network, call: Call) -> dict[str, Any] | None:
    """Change the last element of an argument (n, T) or (n, T, F) that is the target itself, and see whether the last output changes.

    The target is read off the gradient of a squared error. Networks that draw random numbers, as posteriors do, are left out.
    """
    target = read_targets(call)
    values, per_row = _batch(call)
    if target is None or target.ndim not in (2, 3) or target.shape[1] < 4:
        return None
    rows = min(len(target), len(values[0]))
    for place in range(1, len(values)):
        value = values[place]
        if not per_row[place] or not value.is_floating_point() or value[:rows].numel() != target[:rows].numel():
            continue
        if float((value[:rows].reshape(target[:rows].shape) - target[:rows]).abs().mean()) > 1e-3 * float(target.std()):
            continue
        copied = _copy(network)
        if copied is None:
            return None
        changed = value.clone()
        changed[:, -1] = value[:, -1].roll(1, 0)
        with _quiet():
            before, again = (_run(copied, call, values).float() for _ in range(2))
            after = _run(copied, call, [changed if i == place else v for i, v in enumerate(values)]).float()
        size = max(float(before.std()), 1e-12)
        if before.ndim not in (2, 3) or float((again - before).abs().max()) > 1e-4 * size:
            return None
        return {"network": network.name, "place": place, "own": float((after - before)[:, -1].abs().max()) / size}
    return None


def test_order(network: Network, calls: list[Call]) -> dict[str, Any] | None:
    """Follow a sampler that writes one element after the other into a tensor of fixed form, and change what is not yet written.

    Only for a network whose output for an element does not depend on the element itself, so that it has an order of its own.

    Returns:
        ``later``: largest change, over the output's deviation, of the output for the element that is written next; ``own``: the same
        if that element is changed. None if samples are not built like this.
    """
    steps: list[tuple[Call, int]] = []
    for now, after in itertools.pairwise(calls):
        x, y = now.arguments[0].values, after.arguments[0].values
        if x.shape != y.shape or not can_repeat(now) or now.output is None or len(now.output) != len(x):
            return None
        moved = (x != y).any(0)
        if x.ndim == 4:
            moved = moved.any(0)
        places = moved.flatten().nonzero().flatten().tolist()
        if len(places) > 1:
            return None
        if places:
            steps.append((now, places[0]))
    forms = {c.output.shape[2 if c.arguments[0].values.ndim == 4 else 1 :] for c, _ in steps if c.output is not None}
    x = calls[-1].arguments[0].values
    if len(steps) < 8 or forms != {x.shape[2 if x.ndim == 4 else 1 :]}:
        return None
    copied = _copy(network)
    if copied is None:
        return None
    found = {"later": 0.0, "own": 0.0}
    written = [place for _, place in steps]
    for number in range(1, len(steps) - 1, max(1, len(steps) // 8)):
        call, place = steps[number]
        values, _ = _batch(call)
        begun, flat = values[0], values[0].flatten(2 if x.ndim == 4 else 1)
        with _quiet():
            before = _run(copied, call, values).float().flatten(2 if x.ndim == 4 else 1)
            size = max(float(before.std()), 1e-12)
            for key, changing in (("later", [w for w in written[number + 1 :] if w != place]), ("own", [place])):
                other = flat.clone()
                drawn = x[: len(flat)].flatten(2 if x.ndim == 4 else 1)[..., changing]
                other[..., changing] = torch.where(drawn == flat[..., changing], drawn.roll(1, 0), drawn)
                again = _run(copied, call, [other.reshape(begun.shape), *values[1:]]).float()
                change = (again.flatten(2 if x.ndim == 4 else 1) - before)[..., place]
                found[key] = max(found[key], float(change.abs().max()) / size)
    return {"network": network.name, **found}


def _copy(network: Network) -> Any:
    if sum(p.numel() for p in network.module.parameters()) > MOST:
        return None
    kept = {id(v): v.detach().clone() for m in network.module.modules() for v in vars(m).values() if _inner(v)}
    module = copy.deepcopy(network.module, kept)
    for inner in module.modules():
        inner._forward_hooks.clear()
        inner._forward_pre_hooks.clear()
    return module.eval()


def _inner(value: Any) -> bool:
    """True for a tensor with a graph, such as a weight that spectral normalisation computes, which cannot be copied."""
    return isinstance(value, Tensor) and not value.is_leaf


def _varies(value: Tensor) -> bool:
    first = value[:1]
    return bool((value != first).any())


def _first(output: Any) -> Tensor:
    while isinstance(output, tuple | list):
        output = state_last(output)[0]
    if not isinstance(output, Tensor):
        output = output.logits if hasattr(output, "logits") else output.sample
    return output.detach()


def _quiet() -> Any:
    return torch.no_grad()

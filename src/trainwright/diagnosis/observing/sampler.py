"""Test of a diffusion loop's sampler: with an exact denoiser of Gaussian data, it must return Gaussian data.

For x0 ~ N(m, s^2) and x_t = sqrt(a) x0 + sqrt(1 - a) e, the best prediction of x0 is
m + sqrt(a) s^2 / (a s^2 + 1 - a) (x_t - sqrt(a) m). Those of e and of v = sqrt(a) e - sqrt(1 - a) x0 follow from it
(Ho et al. 2020; Salimans and Ho 2022 for v).
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from trainwright.diagnosis.observing.calls import Call, with_targets
from trainwright.diagnosis.observing.networks import Network

Prediction = Literal["noise", "clean", "velocity"]
TYPES: tuple[Prediction, ...] = ("noise", "clean", "velocity")
NAMES = (
    "alphas_cumprod",
    "alpha_bar",
    "alphas_bar",
    "alpha_hat",
    "alphas_hat",
    "alpha_cumprod",
    "abar",
    "bar",
    "alpha_bars",
)
PRODUCTS = ("cumprod", "bar", "hat", "prod")
ACCUMULATED = (1, 2, 4)  # batches over which a loss may be averaged before a step
DRAWN = 16  # samples of a test
VALUES = 64  # numbers in a sample below which a test draws three times the samples
MOST_ROWS = 2000  # rows that are compared with each other
NARROW = 0.08  # deviation of data, over half their range, small enough that noise which a sampler leaves is seen


def neighbours(images: Tensor) -> float:
    """Return the correlation of neighbouring pixels, the smaller one of both directions."""
    pairs = (images[..., 1:], images[..., :-1]), (images[..., 1:, :], images[..., :-1, :])
    return min(float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]) for a, b in pairs)


def find_alphas(scopes: Iterator[tuple[str, Any]]) -> Tensor | None:
    """Return alpha-bar (steps,) if one of these objects is, or holds, such a schedule.

    A schedule has 8 to 5,000 values that decrease from near 1. A name with ``sqrt`` says that it holds roots. Names for products win:
    single alphas can look the same.
    """
    second = None
    for name, value in scopes:
        for inner, candidate in [
            (name, value),
            *((n, getattr(value, n, None)) for n in NAMES if not isinstance(value, Tensor | np.ndarray)),
        ]:
            found = _as_alphas(inner, candidate)
            if found is not None and any(part in inner.lower() for part in PRODUCTS):
                return found
            second = found if second is None else second
    return second


def scopes_of(function: Callable[..., Any], frame: FrameType | None) -> Iterator[tuple[str, Any]]:
    """Yield what a function can see: its closure, its globals, and the variables of a frame."""
    inner = getattr(function, "__func__", function)
    code = getattr(inner, "__code__", None)
    if code is not None and inner.__closure__:
        for name, cell in zip(code.co_freevars, inner.__closure__, strict=False):
            try:
                yield name, cell.cell_contents
            except ValueError:
                continue
    owner = getattr(function, "__self__", None)
    if owner is not None:
        yield from list(getattr(owner, "__dict__", {}).items())
    if frame is not None:
        yield from list(frame.f_locals.items())
        if "self" in frame.f_locals:
            yield from list(getattr(frame.f_locals["self"], "__dict__", {}).items())
    yield from itertools.islice(list(getattr(inner, "__globals__", {}).items()), 2000)


def _as_alphas(name: str, value: Any) -> Tensor | None:
    if isinstance(value, nn.Module) and not isinstance(value, Tensor):
        return None
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind == "f":
        value = torch.from_numpy(value.astype(np.float32))
    if not isinstance(value, Tensor) or value.ndim != 1 or not 8 <= len(value) <= 5000 or not value.is_floating_point():
        return None
    values = value.detach().float().cpu()
    if "sqrt" in name.lower():
        values = values.square()
    falling = bool((values[1:] <= values[:-1]).all())
    if falling and 0.9 < float(values[0]) <= 1.0 and 0 <= float(values[-1]) < 0.5:
        return values.clamp(1e-8, 1 - 1e-8)
    return None


def time_index(times: Tensor, steps: int) -> Tensor | None:
    """Return the index into a schedule that each time step means, for integers and for fractions of the schedule."""
    t = times.detach().float().flatten().cpu()
    whole = bool((t == t.round()).all())
    if whole and float(t.max()) > 1.0 and float(t.max()) < steps:
        return t.long()
    if whole and float(t.max()) <= 1.0 and not times.is_floating_point():
        return t.long()
    if float(t.max()) <= 1.0 and float(t.min()) >= 0.0:
        return (t * steps).round().clamp(0, steps - 1).long()
    return None


def infer_prediction(calls: list[Call], alphas: Tensor, low: float, high: float) -> Prediction | None:
    """Infer what a network is trained to predict from the gradients of a mean squared error at its output.

    The gradient is 2 (output - target) / n, so it gives the target. The prediction is that for which the clean image implied by
    input and target lies in the range of the data and the noise has a standard deviation of 1.
    """
    votes: dict[Prediction, int] = {}
    for call in calls:
        if call.gradient is None or call.output is None or len(call.arguments) < 2:
            continue
        x, t = call.arguments[0].values.float(), call.arguments[1].values
        index = time_index(t, len(alphas))
        rows = min(len(x), len(call.output), len(call.gradient))
        if index is None or len(index) < rows or call.output.shape[1:] != x.shape[1:]:
            continue
        x = x[:rows].cpu()
        a = alphas[index[:rows]].reshape(-1, *[1] * (x.ndim - 1))
        middle = (a > 0.1) & (a < 0.95)
        keep = middle.flatten()
        if int(keep.sum()) < 3:
            continue
        width = high - low
        errors: dict[Prediction, float] = {}
        for parts, kind in itertools.product(ACCUMULATED, TYPES):
            target = (call.output[:rows].float() - parts * call.gradient[:rows].float() * call.gradient_numel / 2).cpu()
            if kind == "noise":
                clean, noise = (x - (1 - a).sqrt() * target) / a.sqrt(), target
            elif kind == "clean":
                clean, noise = target, (x - a.sqrt() * target) / (1 - a).sqrt()
            else:
                clean, noise = a.sqrt() * x - (1 - a).sqrt() * target, (1 - a).sqrt() * x + a.sqrt() * target
            clean, noise = clean[keep], noise[keep]
            outside = float(((clean < low - 0.05 * width) | (clean > high + 0.05 * width)).float().mean())
            errors[kind] = min(errors.get(kind, 9.0), outside + abs(float(noise.std()) - 1))
        best: Prediction = min(errors, key=lambda k: errors[k])
        if errors[best] < 0.12 and sorted(errors.values())[1] > 2 * errors[best] + 0.05:
            votes[best] = votes.get(best, 0) + 1
    sure = [kind for kind in TYPES if votes.get(kind, 0) >= 2]
    sure.sort(key=lambda kind: -votes[kind])
    return sure[0] if sure else None


Exact = Callable[
    [Tensor, Tensor], "Tensor | None"
]  # the best prediction for noisy data (n, ...) at times; None if not understood


def exact_of_schedule(alphas: Tensor, kind: Prediction, mean: float, std: float) -> Exact:
    """Return the best prediction for data of a mean and a deviation under a schedule alpha-bar."""

    def exact(x: Tensor, times: Tensor) -> Tensor | None:
        index = time_index(times, len(alphas))
        if index is None:
            return None
        a = alphas.to(x.device)[index.to(x.device)].clamp(max=1 - 1e-6).reshape(-1, *[1] * (x.ndim - 1))
        clean = mean + a.sqrt() * std**2 / (a * std**2 + 1 - a) * (x - a.sqrt() * mean)
        noise = (x - a.sqrt() * clean) / (1 - a).sqrt()
        return {"noise": noise, "clean": clean, "velocity": a.sqrt() * noise - (1 - a).sqrt() * clean}[kind]

    return exact


def exact_of_path(path: "Path", mean: float, std: float) -> Exact:
    """Return the best velocity for data of a mean and a deviation on the straight path between noise and data."""

    def exact(x: Tensor, times: Tensor) -> Tensor | None:
        t = (times.detach().float() / path.scale).to(x.device)
        if t.numel() not in (1, len(x)) or float(t.min()) < -0.05 or float(t.max()) > 1.05:
            return None
        t = t.reshape(-1, *[1] * (x.ndim - 1)).clamp(1e-4, 1 - 1e-4)
        a = t if path.to_data else 1 - t
        clean = mean + a * std**2 / ((a * std) ** 2 + (1 - a) ** 2) * (x - a * mean)
        noise = (x - a * clean) / (1 - a)
        return {"clean": clean, "noise": noise, "velocity": (clean - noise) * path.sign}[path.kind]

    return exact


@dataclass(frozen=True)
class Path:
    """Straight path x = a data + (1 - a) noise of flow matching (Lipman et al. 2023, Liu et al. 2023).

    Attributes:
        to_data: True if a is the time, so that time 1 is the data; False if a is 1 - time.
        sign: 1 if the network is trained to predict data - noise, -1 for noise - data.
        scale: largest time.
        kind: what is predicted.
    """

    to_data: bool
    sign: int
    scale: float
    kind: Prediction = "velocity"

    @property
    def words(self) -> str:
        """Predicted quantity, in words."""
        if self.kind != "velocity":
            return "the clean data" if self.kind == "clean" else "the noise"
        return "data - noise" if self.sign > 0 else "noise - data"


def infer_path(calls: list[Call], scalars: Mapping[int, Sequence[float]], real: Tensor) -> Path | None:
    """Infer the path of flow matching from inputs, times and targets; None for anything else.

    The targets follow from the gradient of a mean squared error. On the path of one convention, x and the target give normal noise
    and numbers that are distributed as those of real data (n, ...).
    """
    known = []
    for call, target in with_targets(calls, scalars):
        if len(call.arguments) < 2 or call.arguments[0].shape[1:] != target.shape[1:]:
            continue
        x, t = call.arguments[0].values.float(), call.arguments[1].values.float().flatten()
        rows = min(len(x), len(target), len(t))
        if len(t) in (rows, call.arguments[0].shape[0]) and rows:
            known.append((x[:rows].cpu(), t[:rows].cpu(), target[:rows].cpu()))
    if len(known) < 3:
        return None
    times = torch.cat([t for _, t, _ in known])
    largest = float(times.max())
    scale = next((s for s in (1.0, 100.0, 1000.0) if 0.8 * s < largest <= s), None)
    if scale is None or float(times.min()) < 0 or len(times.unique()) < 8:
        return None
    at = torch.tensor([0.03, 0.15, 0.3, 0.5, 0.7, 0.85, 0.97])
    normal = torch.distributions.Normal(0.0, 1.0).icdf(at)
    data, size = _quantiles(real.float().cpu(), at), float(real.float().std().clamp_min(1e-9))
    kinds: list[tuple[int, Prediction]] = [(1, "velocity"), (-1, "velocity"), (1, "clean"), (1, "noise")]
    votes: dict[Path, float] = {}
    for to_data, (sign, kind) in itertools.product((True, False), kinds):
        noises, cleans = [], []
        for x, t, target in known:
            a = (t / scale).reshape(-1, *[1] * (x.ndim - 1))
            a = a if to_data else 1 - a
            if kind == "velocity":
                clean, drawn = x + (1 - a) * sign * target, x - a * sign * target
            elif kind == "clean":
                clean, drawn = target, (x - a * target) / (1 - a).clamp_min(0.05)
            else:
                clean, drawn = (x - (1 - a) * target) / a.clamp_min(0.05), target
            inner = ((a > 0.1) & (a < 0.9)).expand_as(x)
            noises.append(drawn[inner])
            cleans.append(clean[inner])
        off = (_quantiles(torch.cat(noises), at) - normal).abs().max() + (
            _quantiles(torch.cat(cleans), at) - data
        ).abs().max() / size
        votes[Path(to_data, sign, scale, kind)] = float(off)
    first, second = sorted(votes, key=lambda k: votes[k])[:2]
    return first if votes[first] < 0.4 and votes[second] > 1.3 * votes[first] else None


def _quantiles(x: Tensor, at: Tensor) -> Tensor:
    flat = x.flatten()
    return flat[:: max(1, len(flat) // 100_000)].quantile(at) if len(flat) else at * float("inf")


def draws_same_noise(calls: list[Call], scalars: Mapping[int, Sequence[float]], path: Path) -> str:
    """Return whether the noise that inputs and targets imply is the same in every step, or for each sample whenever it returns.

    Returns:
        ``step``, ``sample``, or nothing.
    """
    if path.kind != "velocity":
        return ""
    known, cleans = [], []
    for call, target in with_targets(calls, scalars):
        if len(call.arguments) < 2:
            continue
        x, t = call.arguments[0].values.float(), call.arguments[1].values.float().flatten() / path.scale
        if len(x) == len(target) == len(t):
            a = t.reshape(-1, *[1] * (x.ndim - 1))
            a = a if path.to_data else 1 - a
            known.append(x - a * path.sign * target)
            cleans.append(x + (1 - a) * path.sign * target)
    if len(known) >= 6 and all(k.shape == known[0].shape and float((k - known[0]).abs().mean()) < 0.02 for k in known):
        return "step"
    if len(known) < 4:
        return ""
    noise, clean = (torch.cat([x.flatten(1) for x in part])[:MOST_ROWS] for part in (known, cleans))
    between = torch.cdist(clean, clean) / clean.shape[1] ** 0.5
    between.fill_diagonal_(float("inf"))
    nearest, which = between.min(1)
    again = nearest < 0.02 * clean.std()
    drawn = (noise - noise[which])[again].square().mean(1).sqrt()
    return "sample" if int(again.sum()) >= 12 and float(drawn.median()) < 0.1 else ""


def test_path(
    sample: Callable[[int], Any], network: Network, path: Path, low: float, high: float, elements: int = VALUES
) -> dict[str, Any]:
    """Draw samples with the network's output replaced by exact velocities; as :func:`test_sampler`."""
    middle, half = (low + high) / 2, (high - low) / 2
    drawn = DRAWN if elements >= VALUES else 6 * DRAWN
    mean, std = middle + 0.3 * half, 0.25 * half
    found = {
        "network": network.name,
        "path": path,
        "expected_mean": mean,
        "expected_std": std,
        "passes": True,
        "passes_as": None,
    }
    others = [Path(d, s, path.scale) for d in (path.to_data, not path.to_data) for s in (1, -1)]
    for tried in (path, *(o for o in others if o != path)):
        exact = exact_of_path(tried, mean, std)
        asked: list[float] = []

        def noted(x: Tensor, times: Tensor, exact: Exact = exact, asked: list[float] = asked) -> Tensor | None:
            asked.append(float(times.flatten()[0]) / path.scale)
            return exact(x, times)

        result = _draw(sample, drawn, network.module, noted)
        if result is None:
            return found
        if (
            tried is path
            and len(asked) > 2
            and abs(asked[0] - path.to_data) < 0.2
            and abs(asked[-1] - path.to_data) > 0.8
        ):
            turned = Path(not path.to_data, path.sign, path.scale)
            return found | {"mean": result[0], "std": result[1], "passes": False, "passes_as": turned}
        passes = abs(result[0] - mean) < 0.6 * std and 0.62 < result[1] / std < 1.6
        if tried is path:
            found |= {"mean": result[0], "std": result[1], "passes": passes}
            if passes:
                left = _draw(sample, drawn, network.module, exact_of_path(tried, mean, NARROW * half))
                if left is not None and left[1] > 2.5 * NARROW * half:
                    return found | {"mean": left[0], "std": left[1], "expected_std": NARROW * half, "passes": False}
                return found
        elif passes:
            return found | {"passes_as": tried}
    return found


def test_sampler(
    sample: Callable[[int], Any],
    network: Network,
    alphas: Tensor,
    prediction: Prediction,
    low: float,
    high: float,
    elements: int = VALUES,
    inner: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Draw samples with the network's output replaced by exact predictions for Gaussian data.

    Args:
        sample: the user's function.
        network: the denoiser that it calls.
        alphas: alpha-bar of the schedule.
        prediction: what the network is trained to predict.
        low: smallest value of the data.
        high: largest value of the data.
        elements: numbers in one sample.
        inner: the range in which the network sees the data, if ``sample`` scales them back.

    Returns:
        ``passes``: True if mean and standard deviation come back; ``passes_as``: another prediction for which they do.
    """
    middle, half = (low + high) / 2, (high - low) / 2
    drawn = DRAWN if elements >= VALUES else 3 * DRAWN
    mean, std = middle + 0.15 * half, 0.25 * half
    found = {
        "network": network.name,
        "prediction": prediction,
        "expected_mean": mean,
        "expected_std": std,
        "passes_as": None,
    }
    first, last = inner or (low, high)
    factor = (last - first) / (high - low)

    def draw(kind: Prediction, deviation: float) -> tuple[float, float] | None:
        exact = exact_of_schedule(alphas, kind, first + (mean - low) * factor, deviation * factor)
        return _draw(sample, drawn, network.module, exact)

    for kind in (prediction, *(k for k in TYPES if k != prediction)):
        result = draw(kind, std)
        if result is None:
            return found | {"prediction": None, "passes": True}
        passes = abs(result[0] - mean) < 0.6 * std and 0.62 < result[1] / std < 1.6
        if kind == prediction:
            found |= {"mean": result[0], "std": result[1], "passes": passes}
            if passes:
                narrow = NARROW * half
                left = draw(kind, narrow)
                if left is not None and left[1] > 1.5 * narrow:
                    found |= {"mean": left[0], "std": left[1], "expected_std": narrow, "passes": False}
                return found
        elif passes and 0.7 < result[1] / std < 1.4:
            left = draw(kind, NARROW * half)
            if left is not None and 0.6 < left[1] / (NARROW * half) < 1.5:
                return found | {"passes_as": kind}
    return found


def _draw(sample: Callable[[int], Any], count: int, module: nn.Module, exact: Exact) -> tuple[float, float] | None:
    """Return mean and deviation of samples drawn with exact predictions; None if the calls of the network are not understood."""
    understood = [True]

    def replace(_: nn.Module, args: Any, kwargs: Mapping[str, Any], output: Any) -> Any:
        values = [*args, *kwargs.values()]
        tensors = [v for v in values if isinstance(v, Tensor)]
        result = output if isinstance(output, Tensor) else getattr(output, "sample", None)
        if len(tensors) < 2 or not isinstance(result, Tensor) or result.shape != tensors[0].shape:
            understood[0] = False
            return None
        value = exact(tensors[0].float(), tensors[1])
        if value is None:
            understood[0] = False
            return None
        if isinstance(output, Tensor):
            return value.to(output.dtype)
        output.sample = value.to(result.dtype)
        return output

    handle = module.register_forward_hook(replace, with_kwargs=True)
    try:
        drawn = torch.as_tensor(sample(count)).detach().float()
    finally:
        handle.remove()
    if not understood[0] or not bool(torch.isfinite(drawn.std())):
        return None if not understood[0] else (float("inf"), float("inf"))
    return float(drawn.mean()), float(drawn.std())

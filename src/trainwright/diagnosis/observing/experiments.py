"""Experiments with the networks of a loop: inputs are varied, the sampler is tried, and everything is put back afterwards."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainwright.diagnosis.observing import replay, sampler
from trainwright.diagnosis.observing.calls import Call
from trainwright.diagnosis.observing.networks import Network
from trainwright.diagnosis.observing.observer import Observer

STEPWISE = 5  # calls of one network in one sample from which a sampler is tried
MOST_BUFFERS = 5_000_000  # numbers in buffers that are put back after sampling


def test_structure(observer: Observer) -> None:
    """Repeat calls of the networks with other neighbours in the batch, another future, and other parts of the input."""
    found: dict[str, list[Any]] = {
        "neighbours": [], "future": [], "parts": [], "draws": [], "scales": [], "handed": []
    }  # fmt: skip
    for network in observer.networks:
        used = [c for c in _repeatable(observer, network) if not c.sampling]
        if used and network.trained:
            found["neighbours"].append(_tried(replay.test_neighbours, network, used[-1]))
            found["future"].append(_tried(replay.test_future, network, used[-1]))
            found["parts"].append(_tried(replay.test_parts, network, used[-1]))
            found["scales"].append(_tried(replay.test_scale, network, used[-1]))
            found["handed"].append(_tried(replay.test_handed_targets, network, used[-1]))
        if used and network.trained and used[-1].codes is not None and used[-1].training:
            found["draws"].append(_tried(replay.test_draws, network, used[-1]))
    observer.seen |= found


def vary_inputs(observer: Observer) -> None:
    """Repeat calls of the networks with another condition, and in the other mode."""
    seen = observer.seen
    seen["condition"] = seen.get("condition")
    for network in observer.networks:
        calls = _repeatable(observer, network)
        used = [c for c in calls if not c.sampling]
        if used and len(used[-1].arguments) > 1:
            result = _tried(replay.test_conditions, network, used[-1])
            if result is not None and (seen["condition"] is None or result["ignored"] is not None):
                seen["condition"] = result
        punished = [c for c in used if c.source == "penalty"]
        if punished and network.role == "discriminator" and network.trained:
            seen["slope"] = _tried(replay.test_slope, network, punished[-1])
        sampled = [c for c in calls if c.sampling]
        if network.trained and len(sampled) >= STEPWISE and observer.per_sample.get(network.name, 0) >= STEPWISE:
            order = _tried(replay.test_order, network, sampled)
            seen["order"] = order if order is not None else seen.get("order")
        modal = any(
            b is not None and b.is_floating_point() for m in network.module.modules() for b in m._buffers.values()
        )
        if sampled and modal and not sampled[-1].training and network.trained:
            seen["modes"] = _tried(replay.test_modes, network, sampled[-1])


def _tried(
    test: Callable[[Network, Any], dict[str, Any] | None], network: Network, call: Call | list[Call]
) -> dict[str, Any] | None:
    try:
        return test(network, call)
    except replay.CannotRepeat:
        return None


def _repeatable(observer: Observer, network: Network) -> list[Call]:
    return [c for c in observer.calls.calls if c.network is network and replay.can_repeat(c)]


SCALED = 4.0  # deviation of inputs with little noise over that of real, from which the units differ


def _scale(noised: list[Tensor]) -> float:
    """Return the standard deviation of noised inputs; where noise is added to the data without scaling them down, that of the data.

    Then the inputs of the largest deviation are the noisiest, whose neighbours are less alike (EDM, NCSN). With a schedule that keeps
    the variance, data that are too large are seen in the inputs of the largest deviation.
    """
    whole = torch.cat(noised).float()
    each = whole.flatten(1).std(1)
    order = each.argsort()
    few = max(1, len(order) // 5)
    if whole.ndim == 4 and len(order) >= 20 and min(whole.shape[2:]) >= 4:
        least, most = (sampler.neighbours(whole[part]) for part in (order[:few], order[-few:]))
        if float(each[order[-few:]].mean()) > 3 * float(each[order[:few]].mean()) and most < least - 0.1:
            return float(whole[order[:few]].std())
    return float(whole.std())


def try_sampler(
    observer: Observer, sample: Callable[[int], Any], real: Tensor, frame: FrameType | None, affordable: bool
) -> None:
    """Try a diffusion loop's sampler with an exact denoiser, once its schedule and prediction type are known.

    Args:
        observer: knows the networks and their calls.
        sample: the user's function.
        real: data in the form of samples.
        frame: the user's frame, in whose variables the schedule is looked for.
        affordable: whether there is time to draw samples.
    """
    seen = observer.seen
    stepwise = [n for n in observer.networks if observer.per_sample.get(n.name, 0) >= STEPWISE]
    if not stepwise:
        return
    network = stepwise[0]
    average = observer.average
    source = average.of if average is not None and average.network is network else network
    calls = [c for c in observer.calls.calls if c.network is source and not c.sampling and c.arguments]
    noised = [c.arguments[0].values for c in calls if c.arguments[0].floating]
    if noised:
        seen["noised_std"] = {"network": network.name, "std": _scale(noised)}
    if observer.alphas is None:
        observer.alphas = sampler.find_alphas(sampler.scopes_of(sample, frame))
    if not affordable or not noised or noised[0].shape[1:] != real.shape[1:]:
        return
    least = float(torch.cat(noised).float().flatten(1).std(1).quantile(0.1))  # of inputs with little noise
    usual = float(real.float().std())
    if least > SCALED * usual:
        return  # the network works in other units than those of real
    if seen["noised_std"]["std"] < 0.5 * usual:
        return  # the loop standardises its data, and sample() undoes it, so the test does not know the scale
    low, high = float(real.min()), float(real.max())
    path = prediction = None
    inner = (low, high)
    if observer.alphas is not None:
        for inner in ((low, high), (-1.0, 1.0)) if low >= 0 and high <= 1.01 else ((low, high),):
            prediction = sampler.infer_prediction(calls, observer.alphas, *inner)
            if prediction is not None:
                break
    if prediction is None:
        path = sampler.infer_path(calls, observer.scalars, real)
    if prediction is None and path is None:
        return
    if path is not None:
        same = sampler.draws_same_noise(calls, observer.scalars, path)
        seen["same_noise"] = (network.name, same) if same else None
    if observer.average is not None and observer.average.network.name in observer.per_sample:
        network = observer.average.network
    with torch.no_grad():
        if path is not None:
            seen["path"] = sampler.test_path(sample, network, path, low, high, real[0].numel())
            return
        assert observer.alphas is not None and prediction is not None
        seen["sampler"] = sampler.test_sampler(
            sample, network, observer.alphas, prediction, low, high, real[0].numel(), inner
        )


@contextmanager
def same_random_state() -> Iterator[None]:
    """Restore the global random state of PyTorch (CPU and CUDA), NumPy and Python, which a ``sample`` function may advance."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with torch.random.fork_rng(devices=list(devices)):
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)


@contextmanager
def same_networks(observer: Observer) -> Iterator[None]:
    """Restore modes and buffers of the loop's networks, which sampling in training mode changes."""
    modes = [(m, m.training) for network in observer.networks for m in network.module.modules()]
    buffers = [b for module in observer.buffered() for b in module._buffers.values() if b is not None]
    kept = [(b, b.detach().clone()) for b in buffers] if sum(b.numel() for b in buffers) <= MOST_BUFFERS else []
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        with torch.no_grad():
            for buffer, value in kept:
                if buffer.shape == value.shape and not torch.equal(buffer, value):
                    buffer.copy_(value)

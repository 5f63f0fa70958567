"""One optimizer step: sum the terms, go backward, check that all is finite, clip, step, average, record."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trainwright.config.schedules import Schedule, value
from trainwright.engine.distributed import mean, mean_buffers, mean_gradients
from trainwright.engine.ema import Average, averaged_copy
from trainwright.engine.gradients import copies, gradient_shares, update_ratios
from trainwright.engine.model import GenerativeModel, Terms
from trainwright.engine.recorder import Recorder
from trainwright.errors import NonFinite

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Updater:
    """The loop's ``update`` for every group of a system. Counts updates per group; the counts belong to a checkpoint."""

    def __init__(
        self, model: GenerativeModel, fabric: "Fabric", recorder: Recorder, max_grad_norm: Schedule | None
    ) -> None:
        self.fabric, self.recorder, self.max_grad_norm = fabric, recorder, max_grad_norm
        self.groups = model.groups
        self.networks = {n: [model.networks[k] for k in group.networks] for n, group in model.groups.items()}
        self.parameters = {n: [p for net in nets for p in net.parameters()] for n, nets in self.networks.items()}
        self.named = {n: {k: model.networks[k] for k in group.networks} for n, group in model.groups.items()}
        self.updates = dict.fromkeys(model.groups, 0)
        self.to_inspect: set[str] = set()  # groups whose next update is looked at closely
        self.rate_scale, self.rate_floor = 1.0, 0.0  # of learning rates lowered on a plateau
        self.factors: dict[str, float] = {}  # a controller's: lr/GROUP, momentum/GROUP, weight/GROUP/TERM
        self.latest: dict[str, float] = {}  # what the newest update of each group recorded
        self.averages: dict[str, list[Average]] = {}
        for name, group in model.groups.items():
            if group.ema_decay is None:
                continue
            for key in group.networks:
                model.averaged[key] = averaged_copy(model.networks[key])
            self.averages[name] = [Average(model.networks[k], model.averaged[k]) for k in group.networks]

    def __call__(self, name: str, terms: Terms, step: int, epoch: float) -> None:
        """One update of group ``name``.

        Args:
            name: the group; only its parameters get gradients, so no other network pays for a backward.
            terms: raw scalar terms with their weights; the loss is the sum of weight x term.
            step: 0-based step of the run, for schedules.
            epoch: fractional epochs seen, for schedules.

        Raises:
            NonFinite: before the optimizer, naming the first term or tensor; weights are untouched.
        """
        group, parameters = self.groups[name], self.parameters[name]
        if self.factors:
            terms = {
                k: (weight * self.factors.get(f"weight/{name}/{k}", 1.0), term) for k, (weight, term) in terms.items()
            }
        total = sum_terms(terms)
        inspecting = name in self.to_inspect
        if inspecting:
            self.to_inspect.discard(name)
            self.recorder.add(gradient_shares(name, terms, self.networks[name][-1]))
            before = copies(self.named[name])
        group.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(total, inputs=parameters)
        mean_gradients(self.fabric, parameters)
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        # The one synchronisation of an update: everything that is checked or recorded comes over together.
        raw = mean(self.fabric, torch.stack([total.detach(), norm, *(t.detach() for _, t in terms.values())])).tolist()
        if not all(map(math.isfinite, raw)):
            raise self._non_finite(name, terms, raw, step)
        if self.max_grad_norm is not None:
            limit = value(self.max_grad_norm, step, epoch)
            torch.nn.utils.clip_grads_with_norm_(parameters, limit, norm)
            self.recorder.add({f"clipped/{name}": float(raw[1] > limit)})
        rate = configured = value(group.lr, step, epoch)
        if self.rate_scale != 1.0:
            rate = max(rate * self.rate_scale, min(rate, self.rate_floor))
        rate *= self.factors.get(f"lr/{name}", 1.0)
        own = group.optimizer.param_groups
        wanted = [group.settings] * len(own) if isinstance(group.settings, Mapping) else group.settings
        for in_force, settings in zip(own, wanted, strict=True):
            in_force.update(lr=rate, **settings)
            if f"momentum/{name}" in self.factors:
                _scale_momentum(in_force, {**group.optimizer.defaults, **settings}, self.factors[f"momentum/{name}"])
        group.optimizer.step()
        torch.clear_autocast_cache()  # within a step under autocast, later updates would see copies of the old weights
        if inspecting:
            self.recorder.add(update_ratios(before, self.named[name]))
        mean_buffers(self.fabric, self.networks[name])
        self.updates[name] += 1
        for average in self.averages.get(name, ()):
            assert group.ema_decay is not None
            average.update(group.ema_decay(self.updates[name]))
        found = _signals(name, terms, raw, rate, configured)
        self.latest |= found
        self.recorder.add(found)

    def _non_finite(self, name: str, terms: Terms, raw: Sequence[float], step: int) -> NonFinite:
        evidence: dict[str, object] = {"group": name, "step": step}
        values = dict(zip(terms, raw[2:], strict=True))
        evidence["terms"] = {term: repr(v) if not math.isfinite(v) else v for term, v in values.items()}
        bad = next((term for term, v in values.items() if not math.isfinite(v)), None)
        tensor = first_non_finite(self.networks[name])
        evidence.update(term=bad, tensor=tensor)
        if bad is not None:
            what = f"term {bad!r} of the {name} loss is {values[bad]!r}"
        elif not math.isfinite(raw[0]):
            what = f"the {name} loss is {raw[0]!r} although each term is finite: a weight is too large"
        else:
            what = f"the gradient norm of the {name} is {raw[1]!r} although the loss is finite"
        where = f"; first non-finite tensor: {tensor}" if tensor else ""
        return NonFinite(f"step {step}: {what}{where}", evidence)


def _scale_momentum(in_force: dict[str, Any], configured: Mapping[str, Any], factor: float) -> None:
    """The first beta of Adam or the momentum of SGD is the configured one times a factor, below 1."""
    if "betas" in configured:
        first, second = configured["betas"]
        in_force["betas"] = (min(first * factor, 0.999), second)
    elif "momentum" in configured:
        in_force["momentum"] = min(configured["momentum"] * factor, 0.999)


def sum_terms(terms: Terms) -> Tensor:
    """Σ weight · term, leaving out the multiplication by ±1."""
    total: Tensor | None = None
    for weight, term in terms.values():
        if total is None:
            total = term if weight == 1 else term * weight
        else:
            total = total.add(term, alpha=weight)
    if total is None:
        raise ValueError("an update needs at least one term")
    return total


def with_ratios(signals: dict[str, float]) -> dict[str, float]:
    """Adds ``gradient_ratio/A_over_B`` for every two groups, in the order of their names: far from its early level, one outruns the
    other.
    """
    norms = [(n.removeprefix("grad_norm/"), v) for n, v in sorted(signals.items()) if n.startswith("grad_norm/")]
    pairs = [(a, b) for i, a in enumerate(norms) for b in norms[i + 1 :]]
    return {**signals, **{f"gradient_ratio/{a}_over_{b}": x / y for (a, x), (b, y) in pairs if y > 0}}


def first_non_finite(networks: Sequence[nn.Module]) -> str | None:
    """The first weight, buffer or gradient that is not finite, by name."""
    for network in networks:
        for key, tensor in network.state_dict().items():
            if not bool(torch.isfinite(tensor).all()):
                return f"{type(network).__name__}.{key}"
    for network in networks:
        for key, parameter in network.named_parameters():
            if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
                return f"gradient of {type(network).__name__}.{key}"
    return None


def _signals(name: str, terms: Terms, raw: Sequence[float], rate: float, configured: float) -> dict[str, float]:
    signals = {f"{name}/loss": raw[0], f"grad_norm/{name}": raw[1], f"lr/{name}": rate}
    if configured:
        signals[f"lr_factor/{name}"] = rate / configured
    parts = [(term, weight, v) for (term, (weight, _)), v in zip(terms.items(), raw[2:], strict=True)]
    whole = sum(abs(weight * v) for _, weight, v in parts)
    for term, weight, v in parts:
        signals[f"{name}/{term}"] = v
        signals[f"weight/{name}/{term}"] = weight
        signals[f"share/{name}/{term}"] = abs(weight * v) / whole if whole else 0.0
    return signals

"""Preflight checks shared by all families: pure functions of settings and facts, one for each check."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trainwright.diagnosis.history import largest

Grade = Literal["ok", "warn", "stop"]


@dataclass(frozen=True)
class Check:
    """Outcome of one check; ``stop`` means that the run cannot work with these settings."""

    name: str
    grade: Grade
    message: str
    fix: str = ""


class PlannedRun:
    """Settings and facts of a run that has not started.

    Args:
        settings: flattened config; a schedule is a mapping with a ``kind``.
        facts: facts about family and data, see :class:`~trainwright.diagnosis.history.History`; those named ``initial/...`` are
            measured on the untrained networks.
        steps: length of the run.
    """

    def __init__(self, settings: Mapping[str, Any], facts: Mapping[str, Any], steps: int) -> None:
        self.settings, self.facts, self.steps = settings, facts, steps

    def get(self, leaf: str) -> Any:
        """Return a setting by leaf name."""
        return next((v for k, v in self.settings.items() if k == leaf or k.endswith(f".{leaf}")), None)

    def number(self, leaf: str) -> float | None:
        """Return a setting as a number; for a schedule, its largest value."""
        return largest(self.get(leaf))

    @property
    def epochs(self) -> float:
        """Number of epochs in the run."""
        batches = self.facts.get("batches_per_epoch") or 1.0
        return self.steps / batches


Inspect = Callable[[PlannedRun], list[Check]]


def run_checks(plan: PlannedRun, own: Sequence[Inspect] = ()) -> list[Check]:
    """Run every check whose inputs are known.

    Args:
        plan: the planned run.
        own: checks of its family, see :class:`~trainwright.engine.family.Family`.

    Returns:
        Outcomes, worst first.
    """
    found = [c for inspect in (*CHECKS, *own) for c in inspect(plan)]
    return sorted(found, key=lambda c: ("stop", "warn", "ok").index(c.grade))


def _batch_norm(p: PlannedRun) -> list[Check]:
    if p.facts.get("critic_batch_norm") and (p.number("lambda_gp") or 0) > 0:
        said = "the critic has BatchNorm, but the gradient penalty assumes that scores of one sample do not depend on the others"
        return [Check("critic_batch_norm", "stop", said, "use LayerNorm, GroupNorm or no norm in the critic")]
    return []


def _critic_steps(p: PlannedRun) -> list[Check]:
    n, batches = p.number("n_critic"), p.facts.get("batches_per_epoch")
    if n is None:
        return []
    updates = p.steps / n
    found = []
    if n > 10:
        found.append(
            Check(
                "n_critic",
                "warn",
                f"n_critic = {n:.0f}: the generator gets {updates:.0f} updates in {p.steps} steps",
                "n_critic=5",
            )
        )
    if batches and n > batches:
        said = (
            f"n_critic = {n:.0f} is above the {batches:.1f} batches of an epoch; it is counted over the whole run here, "
            "but a loop that counts within each epoch would never update the generator"
        )
        found.append(Check("n_critic_in_epoch", "warn", said, f"n_critic={max(1, int(batches) // 3)}"))
    if updates < 300:
        found.append(
            Check(
                "generator_updates", "warn", f"the generator gets only {updates:.0f} updates", f"steps={int(n * 5000)}"
            )
        )
    return found or [Check("n_critic", "ok", f"the generator gets {updates:.0f} updates")]


def _schedules(p: PlannedRun) -> list[Check]:
    found = []
    for name, value in p.settings.items():
        if not isinstance(value, Mapping) or "kind" not in value:
            continue
        length = p.steps if value.get("unit", "step") == "step" else p.epochs
        need = _end(value)
        if need is not None and need > length:
            unit = value.get("unit", "step")
            found.append(
                Check(
                    "schedule",
                    "warn",
                    f"{name} reaches its final value at {unit} {need:g}, but the run ends at {length:.0f}{_where(value, length)}",
                    f"a shorter {name}, or a longer run",
                )
            )
    warm = p.number("beta_warmup_epochs")
    if warm and warm > p.epochs:
        found.append(
            Check(
                "schedule",
                "warn",
                f"the KL weight warms up over {warm:g} epochs, but the run has {p.epochs:.0f}",
                f"beta_warmup_epochs={max(1, int(p.epochs / 2))}",
            )
        )
    elif warm and warm > 0.5 * p.epochs:
        found.append(
            Check(
                "warm_up",
                "warn",
                f"the KL weight warms up over {warm / p.epochs:.0%} of the run",
                f"beta_warmup_epochs={max(1, int(p.epochs / 4))}",
            )
        )
    return found


def _where(schedule: Mapping[str, Any], length: float) -> str:
    """Return the value that a tanh schedule reaches; it is nearly flat for long."""
    if schedule["kind"] != "tanh":
        return ""
    top = float(schedule.get("end", 1.0))
    there = (
        top * 0.5 * (math.tanh(length / float(schedule.get("scale", 200.0)) - float(schedule.get("shift", 2.5))) + 1)
    )
    return f", at {there:.3g} of {top:g}"


def _end(schedule: Mapping[str, Any]) -> float | None:
    """Return the point at which a schedule is within 5 % of its final value."""
    if schedule["kind"] in ("linear", "cosine"):
        return float(schedule["over"])
    if schedule["kind"] == "tanh":
        return float(schedule.get("scale", 200.0)) * (float(schedule.get("shift", 2.5)) + 1.83 / 1.25)
    if schedule["kind"] == "piecewise":
        return float(schedule["points"][-1][0])
    return None


def _rates(p: PlannedRun) -> list[Check]:
    g, d = p.number("lr_g"), p.number("lr_d")
    found = []
    for name, rate, top in (("lr_g", g, 2e-3), ("lr_d", d, 2e-3), ("learning_rate", p.number("learning_rate"), 1e-2)):
        if rate is not None and rate > top:
            found.append(
                Check(
                    "learning_rate",
                    "warn",
                    f"{name} = {rate:g} is above {top:g}; training is usually unstable there",
                    f"{name}={top / 10:g}",
                )
            )
        if rate == 0:
            found.append(
                Check("learning_rate", "warn", f"{name} = 0: this network will not be trained", f"{name}=1e-4")
            )
    if g and d and (d / g >= 8 or g / d >= 8):
        said = f"lr_d / lr_g = {d / g:.3g}: one network learns much faster than the other (usual: 1 to 4)"
        found.append(Check("lr_ratio", "warn", said, f"lr_g={d / 2:g} (a ratio of 4 at most)"))
    return found


def _batch(p: PlannedRun) -> list[Check]:
    n, batch = p.facts.get("training"), p.number("batch_size")
    if not n or not batch:
        return []
    if batch > n:
        return [
            Check(
                "batch",
                "warn",
                f"a batch of {batch:.0f} is larger than the {n} training samples, so it contains duplicates",
                f"batch_size={max(2, n // 8)}",
            )
        ]
    if batch > n / 3:
        return [
            Check(
                "batch",
                "warn",
                f"a batch of {batch:.0f} is {batch / n:.0%} of the {n} training samples",
                f"batch_size={max(2, n // 8)}",
            )
        ]
    if n < 100:
        return [
            Check(
                "data",
                "warn",
                f"only {n} training samples: the model will probably memorise them",
                "more data, or augmentation",
            )
        ]
    return [Check("batch", "ok", f"{n} training samples, {n / batch:.1f} batches per epoch")]


def _beta(p: PlannedRun) -> list[Check]:
    beta = p.number("max_beta") if p.get("beta") is None else p.number("beta")
    limit, effective = p.facts.get("beta_threshold"), p.facts.get("effective_beta")
    if beta is None or limit is None:
        return []
    if beta > limit:
        said = (
            f"β = {beta:g} is above {limit:.3g}: no latent direction reduces the error by more than its KL costs, "
            "so the posterior will collapse"
        )
        reduction = p.get("reduction")
        fix = "optim.reduction=sum" if reduction not in (None, "sum") and beta <= 2 else f"max_beta={limit / 10:.2g}"
        return [Check("posterior_collapse", "stop", said, fix)]
    if beta > 0.5 * limit:
        upper = " (an upper limit for a local latent)" if p.facts.get("beta_threshold_is_upper_limit") else ""
        return [
            Check(
                "posterior_collapse",
                "warn",
                f"β = {beta:g} is near {limit:.3g}, where the posterior collapses{upper}",
                f"max_beta={limit / 10:.2g}",
            )
        ]
    extra = f" (effective β of the likelihood: {effective:.3g})" if effective is not None else ""
    return [
        Check(
            "posterior_collapse", "ok", f"β = {beta:g}{extra}; the posterior collapses above {limit:.3g} on these data"
        )
    ]


def _checkerboard(p: PlannedRun) -> list[Check]:
    lattice, kinds = p.facts.get("initial/lattice"), p.facts.get("transposed")
    found = []
    if kinds:
        uneven = any(int(k.split("/")[0]) % int(k.split("/")[1]) for k in kinds.split(", "))
        said = f"the generator upsamples by transposed convolutions ({kinds})" + (
            ", and the kernel size is not a multiple of the stride" if uneven else ""
        )
        found.append(Check("transposed_conv", "warn", said, "an architecture that resizes and then convolves"))
    if lattice is not None and lattice > 0.02:
        found.append(
            Check(
                "checkerboard",
                "warn",
                f"{lattice:.0%} of the variance of untrained samples is a fixed pixel grid (without a grid: below 1 %)",
                "an architecture that resizes and then convolves",
            )
        )
    elif lattice is not None:
        found.append(
            Check(
                "checkerboard",
                "ok",
                f"no pixel grid in samples of the untrained generator ({lattice:.2%} of their variance)",
            )
        )
    return found


def _ranges(p: PlannedRun) -> list[Check]:
    data, output = p.facts.get("data_range"), p.facts.get("output_range")
    if not data or not output:
        return []
    if data[0] < output[0] - 0.05 or data[1] > output[1] + 0.05:
        return [
            Check(
                "range",
                "stop",
                f"the data lie in [{data[0]:.2g}, {data[1]:.2g}], but outputs are limited to [{output[0]:.2g}, {output[1]:.2g}]",
                "rescale the data",
            )
        ]
    if data[1] - data[0] < 0.3 * (output[1] - output[0]):
        return [
            Check(
                "range",
                "warn",
                f"the data lie in [{data[0]:.2g}, {data[1]:.2g}], a small part of the output range [{output[0]:.2g}, {output[1]:.2g}]",
                "rescale the data",
            )
        ]
    return [Check("range", "ok", f"the data lie in [{data[0]:.2g}, {data[1]:.2g}], like the outputs")]


def _terms(p: PlannedRun) -> list[Check]:
    found = []
    for name, share in (p.facts.get("initial/gradient_shares") or {}).items():
        if share < 0.01 and not name.endswith("/kl"):
            group = name.rpartition("/")[2]
            found.append(
                Check(
                    "term_scale",
                    "warn",
                    f"{group} contributes {share:.2%} of the gradient at the last layer (below 1 %), so it will hardly be learned",
                    f"weights.{group}=1" if p.get(f"weights.{group}") is not None else "raise its weight",
                )
            )
    return found


def _probe(p: PlannedRun) -> list[Check]:
    probe = p.facts.get("initial/lr_probe")
    if not probe:
        return []
    if not probe["finite"]:
        return [
            Check(
                "lr_probe",
                "stop",
                f"loss or weights became NaN or infinite within {probe['steps']} steps at the configured learning rates",
                "a tenth of the learning rate",
            )
        ]
    if probe["growth"] > 20:
        said = (
            f"the loss grew {probe['growth']:.0f}-fold within {probe['steps']} steps at the configured learning rates"
        )
        return [Check("lr_probe", "warn", said, "a third of the learning rate, or a warm-up")]
    return [Check("lr_probe", "ok", f"the loss is stable over {probe['steps']} steps at the configured learning rates")]


CHECKS: tuple[Inspect, ...] = (
    _batch_norm, _critic_steps, _schedules, _rates, _batch, _beta, _checkerboard, _ranges, _terms, _probe,
)  # fmt: skip

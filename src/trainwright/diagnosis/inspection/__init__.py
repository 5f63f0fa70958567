"""Inspections: what networks, optimizers, losses and calls show by themselves, within the first steps and without samples.

One file per theme; each inspection is a pure function from what was observed to its results.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from trainwright.diagnosis.observing.observer import Observed

Inspect = Callable[[Observed], "list[Inspection]"]


@dataclass(frozen=True)
class Inspection:
    """Result of an inspection that found something.

    Attributes:
        cause: name of the cause.
        severity: ``sick`` if training cannot work like this, ``suspect`` if it usually harms, ``note`` otherwise.
        message: what was seen, in the user's names.
        advice: what to do.
    """

    cause: str
    severity: Literal["note", "suspect", "sick"]
    message: str
    advice: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def inspect(seen: Observed) -> list[Inspection]:
    """Return the results of all inspections, worst first and one for each cause.

    Args:
        seen: what was observed so far.
    """
    from trainwright.diagnosis.inspection import (
        adversarial,
        agreement,
        data,
        diffusion,
        layers,
        losses,
        optimization,
        sampling,
        targets,
        variational,
        weights,
    )

    found: dict[str, Inspection] = {}
    for module in (
        optimization,
        weights,
        layers,
        losses,
        variational,
        adversarial,
        data,
        agreement,
        targets,
        diffusion,
        sampling,
    ):
        for one in module.INSPECTIONS:
            for result in one(seen):
                found.setdefault(result.cause, result)
    if "lr_too_high" in found:
        found.pop("conditioning_ignored", None)  # a network that is destroyed in every step ignores everything
        found.pop("initialization", None)  # the first step was seen, not what was before it
    if "targets_in_input" in found:
        found.pop("sampler_step_mismatch", None)  # a network that copies its input removes no noise
    if {"latents_not_scaled", "data_range"} & {c for c, r in found.items() if r.severity == "sick"}:
        for cause in (
            "noise_distribution_mismatch",
            "conditioning_ignored",
            "sampler_step_mismatch",
            "schedule_leaves_signal",
        ):
            found.pop(cause, None)  # which follow from it
    if "batch_time_swapped" in found:
        found.pop("input_repeated", None)  # the parts of other samples take the place of its own
    if "accumulated_gradients_cleared" in found:
        found.pop("not_trained", None)  # which follows from it
    if "output_activation" in found and found["output_activation"].severity == "sick":
        found.pop("flat_loss", None)
    if "hidden_state_lost" in found:
        found.pop("not_trained", None)  # weights of a state that is always 0
    if "noise_drawn_once" in found:
        found.pop("noise_not_used", None)  # a network that draws nothing new
    if "targets_misaligned" in found:
        found.pop("loss_mask_wrong", None)  # the padding of other rows
    if "sampler_schedule" in found:
        found.pop("noise_distribution_mismatch", None)  # which follows from it
    if "wrong way" in getattr(found.get("sampler_step_mismatch"), "message", ""):
        found.pop("noise_distribution_mismatch", None)  # the noise of the other end of time
    if "prediction_type_mismatch" in found:
        found.pop("sampler_step_mismatch", None)  # which follows from it
    if "schedule_leaves_signal" in found and found["schedule_leaves_signal"].severity == "sick":
        for cause in (
            "noise_distribution_mismatch",
            "sampler_step_mismatch",
        ):  # the sampler expects what the schedule should do
            found.pop(cause, None)
    return sorted(found.values(), key=lambda r: ("sick", "suspect", "note").index(r.severity))


def listed(names: list[str], most: int = 3) -> str:
    """Return names as a short list."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")

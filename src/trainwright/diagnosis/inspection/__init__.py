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


ANY, SICK = ("sick", "suspect", "note"), ("sick",)
_LATENTS = ("noise_distribution_mismatch", "conditioning_ignored", "sampler_step_mismatch", "schedule_leaves_signal")
# cause, severities at which it counts, and what follows from it and is not reported beside it; in this order
FOLLOWS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    # a network that is destroyed in every step ignores everything, and what was before the first step was not seen
    ("lr_too_high", ANY, ("conditioning_ignored", "initialization")),
    ("targets_in_input", ANY, ("sampler_step_mismatch",)),  # a network that copies its input removes no noise
    ("latents_not_scaled", SICK, _LATENTS),
    ("data_range", SICK, _LATENTS),
    ("batch_time_swapped", ANY, ("input_repeated",)),  # the parts of other samples take the place of its own
    ("accumulated_gradients_cleared", ANY, ("not_trained",)),
    ("output_activation", SICK, ("flat_loss",)),
    ("hidden_state_lost", ANY, ("not_trained",)),  # weights of a state that is always 0
    ("noise_drawn_once", ANY, ("noise_not_used",)),  # a network that draws nothing new
    ("targets_misaligned", ANY, ("loss_mask_wrong",)),  # the padding of other rows
    ("sampler_schedule", ANY, ("noise_distribution_mismatch",)),
    ("prediction_type_mismatch", ANY, ("sampler_step_mismatch",)),
    # the sampler expects what the schedule should do
    ("schedule_leaves_signal", SICK, ("noise_distribution_mismatch", "sampler_step_mismatch")),
)


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
    for cause, severities, consequences in FOLLOWS:
        if cause in found and found[cause].severity in severities:
            for consequence in consequences:
                found.pop(consequence, None)
    return sorted(found.values(), key=lambda r: ("sick", "suspect", "note").index(r.severity))


def listed(names: list[str], most: int = 3) -> str:
    """Return names as a short list."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")

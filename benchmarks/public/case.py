"""Definition of a case: where it was reported, and the truth about it."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["adversarial", "variational", "diffusion", "autoregressive", "prediction", "supervised"]
Spoils = Literal["samples", "reconstructions", "training", "nothing visible"]


@dataclass(frozen=True)
class Case:
    """Truth of one loop.

    Attributes:
        kind: kind of model.
        cause: the true cause, by the name that the doctor gives it.
        symptoms: symptoms that would be right, any of them.
        spoils: ``samples`` if they are visibly bad at the end, ``reconstructions``, ``training`` (NaN, nothing is learned), or
            ``nothing visible`` (only a check of networks, optimizers and losses can tell).
        source: ``owner/repository#number`` or the address of the report; cases of one repository are one source.
        also: other causes that a careful reader would accept as the same.
        seconds: CPU seconds of one run, about.
    """

    kind: Kind
    cause: str
    symptoms: tuple[str, ...]
    spoils: Spoils
    source: str
    also: tuple[str, ...] = ()
    seconds: int = 10

"""Exceptions with messages for users: the problem and its fix in one or two sentences."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in a command, a config, a data folder or a run folder. The CLI prints it and exits with 2."""


TRAINING = (  # packages of the extra "train", without which a diagnosis of logs and run folders works
    "torch",
    "scipy",
    "lightning_fabric",
    "lightning",
    "safetensors",
    "jinja2",
    "matplotlib",
    "PIL",
    "tensorboard",
    "torchmetrics",
)


def missing_package(error: ModuleNotFoundError) -> UserError | None:
    """Return what to say if a package of the extra "train" is not installed; None for any other package."""
    name = (error.name or "").partition(".")[0]
    if name not in TRAINING:
        return None
    return UserError(f"this needs {name}, which is not installed: pip install 'trainwright[train]'.")


class Refused(UserError):
    """A file that is damaged or not what it claims to be. Nothing in it was executed."""


class NonFinite(Exception):
    """A NaN or an infinity in training, raised before the optimizer step that would spread it.

    ``evidence`` holds plain values for the event log: group, term, tensor, values.
    """

    def __init__(self, message: str, evidence: dict[str, object]) -> None:
        super().__init__(message)
        self.evidence = evidence


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a "did you mean" clause for ``name``, or an empty string if no known name is close."""
    options = list(known)
    match = difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    lowered = {option.lower(): option for option in options}
    match = match or [lowered[m] for m in difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)]
    return f" Did you mean {match[0]!r}?" if match else ""

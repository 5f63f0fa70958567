"""How a run begins that was forked from another one's checkpoint: with all of its networks that still fit.

The guides do this by hand ("load the checkpoint of the last phase"), also where a setting changes a network's shape.
"""

from typing import TYPE_CHECKING

from trainwright.engine import checkpoint as checkpoints
from trainwright.engine.model import GenerativeModel
from trainwright.errors import UserError
from trainwright.runs.folder import Run

if TYPE_CHECKING:
    from trainwright.engine.trainer import Loop


def restore(model: GenerativeModel, found: checkpoints.Checkpoint, run: Run) -> list[str]:
    """Puts a checkpoint in place: a run's own as a whole, the one that it was forked from as far as it fits.

    Returns:
        Names of the groups that begin anew, with their optimizers, since their networks have another shape now.

    Raises:
        UserError: an own checkpoint does not fit, or nothing of the parent's does.
    """
    if found.step != run.read().get("forked_at"):
        checkpoints.restore(model, found)
        return []
    reinitialized = checkpoints.restore_what_fits(model, found)
    if len(reinitialized) == len(model.groups):
        raise UserError(
            f"{run.folder}: no network of the run that it is forked from has the shape that these settings give. "
            "Begin it from the start."
        )
    return reinitialized


def settle(loop: "Loop", reinitialized: list[str]) -> None:
    """Says what begins anew, and saves it, so that the fork's first checkpoint is its own."""
    if loop.main:
        loop.run_folder.event("reinitialized", loop.at.step, groups=reinitialized)
        note(loop, reinitialized)
    loop.checkpoint()


def note(loop: "Loop", reinitialized: list[str]) -> None:
    """Shows which groups begin anew, as a fork or as a phase has them."""
    if reinitialized:
        loop.display.note(f"begun anew, since its shape changed: {', '.join(reinitialized)} and its optimizer")

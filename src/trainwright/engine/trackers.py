"""Trackers: TensorBoard by default, Weights & Biases on request. An error of a tracker never stops a run."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

from trainwright.errors import UserError


class Tracker(Protocol):
    """Receiver of rows of signals and sample grids."""

    def row(self, step: int, signals: dict[str, float]) -> None:
        """Add the signals of a step."""
        ...

    def image(self, step: int, file: Path) -> None:
        """Add a sample grid."""
        ...

    def close(self) -> None:
        """Flush and close."""
        ...


class NullTracker:
    """A tracker that does nothing (``tracker: none``)."""

    def row(self, step: int, signals: dict[str, float]) -> None:
        """Do nothing."""

    def image(self, step: int, file: Path) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class TensorBoard:
    """Event files in the run's ``tensorboard`` folder."""

    def __init__(self, folder: Path, name: str, resumed_at: int, config: dict[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=resumed_at + 1 if resumed_at else None)

    def row(self, step: int, signals: dict[str, float]) -> None:
        """Add a scalar for each signal."""
        for signal, number in signals.items():
            self._writer.add_scalar(signal, number, step)

    def image(self, step: int, file: Path) -> None:
        """Add the grid."""
        import numpy as np
        from PIL import Image

        with Image.open(file) as image:
            self._writer.add_image("samples", np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close the event file."""
        self._writer.close()


class WeightsAndBiases:
    """A W&B run in the run folder; offline unless ``WANDB_MODE=online`` is set, so that it needs no account."""

    def __init__(self, folder: Path, name: str, resumed_at: int, config: dict[str, Any]) -> None:
        try:
            import wandb
        except ImportError:
            raise UserError("tracker=wandb needs a package: pip install 'trainwright[wandb]'.") from None
        mode: Literal["online", "offline"] = "online" if os.environ.get("WANDB_MODE") == "online" else "offline"
        self._wandb = wandb
        self._run = wandb.init(
            project="trainwright",
            name=name,
            id=name.replace("/", "-"),
            dir=str(folder),
            config=config,
            mode=mode,
            resume="allow" if mode == "online" else None,
            settings=wandb.Settings(silent=True),
        )

    def row(self, step: int, signals: dict[str, float]) -> None:
        """Log the signals."""
        self._run.log(signals, step=step)

    def image(self, step: int, file: Path) -> None:
        """Log the grid."""
        self._run.log({"samples": self._wandb.Image(str(file))}, step=step)

    def close(self) -> None:
        """Finish the W&B run."""
        self._run.finish()


KINDS: dict[str, Callable[[Path, str, int, dict[str, Any]], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "none": lambda *_: NullTracker(),
}


class FailSafeTracker:
    """Forwards rows until the tracker fails once; then reports the error through ``complain`` and stops."""

    def __init__(self, tracker: Tracker, complain: Callable[[str], None]) -> None:
        self._tracker, self._complain = tracker, complain

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            name, self._tracker = type(self._tracker).__name__, NullTracker()
            self._complain(f"{name} failed and is switched off for the rest of this run: {error}")

    def row(self, step: int, signals: dict[str, float]) -> None:
        """See :class:`Tracker`."""
        self._try(lambda: self._tracker.row(step, signals))

    def image(self, step: int, file: Path) -> None:
        """See :class:`Tracker`."""
        self._try(lambda: self._tracker.image(step, file))

    def close(self) -> None:
        """See :class:`Tracker`."""
        self._try(self._tracker.close)

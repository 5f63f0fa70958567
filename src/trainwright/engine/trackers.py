"""Trackers: TensorBoard by default; Weights & Biases, MLflow and trackio on request. An error of a tracker never stops a run."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

from trainwright.diagnosis.input import flat
from trainwright.errors import UserError


class Tracker(Protocol):
    """Receiver of rows of signals, grids of images and findings of the doctor."""

    def row(self, step: int, signals: dict[str, float]) -> None:
        """Add the signals of a step."""
        ...

    def image(self, step: int, file: Path, name: str = "samples") -> None:
        """Add a grid of samples, or the view of a family by its name."""
        ...

    def finding(self, step: int, title: str, text: str) -> None:
        """Add what the doctor found."""
        ...

    def close(self) -> None:
        """Flush and close."""
        ...


class NullTracker:
    """A tracker that does nothing (``tracker: none``)."""

    def row(self, step: int, signals: dict[str, float]) -> None:
        """Do nothing."""

    def image(self, step: int, file: Path, name: str = "samples") -> None:
        """Do nothing."""

    def finding(self, step: int, title: str, text: str) -> None:
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

    def image(self, step: int, file: Path, name: str = "samples") -> None:
        """Add the grid."""
        import numpy as np
        from PIL import Image

        with Image.open(file) as image:
            self._writer.add_image(name, np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def finding(self, step: int, title: str, text: str) -> None:
        """Add a text under the tag ``doctor``."""
        self._writer.add_text("doctor", f"**{title}**\n\n{text}", step)

    def close(self) -> None:
        """Flush and close the event file."""
        self._writer.close()


class WeightsAndBiases:
    """A W&B run in the run folder; offline unless ``WANDB_MODE=online`` is set, so that it needs no account.

    ``WANDB_PROJECT`` (``trainwright`` by default) and ``WANDB_ENTITY`` say where it belongs. Online its address is printed.
    """

    def __init__(self, folder: Path, name: str, resumed_at: int, config: dict[str, Any]) -> None:
        try:
            import wandb
        except ImportError:
            raise UserError("tracker=wandb needs a package: pip install 'trainwright[wandb]'.") from None
        mode: Literal["online", "offline"] = "online" if os.environ.get("WANDB_MODE") == "online" else "offline"
        self._wandb = wandb
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "trainwright",
            entity=os.environ.get("WANDB_ENTITY") or None,
            name=name,
            id=name.replace("/", "-"),
            dir=str(folder),
            config=config,
            mode=mode,
            resume="allow" if mode == "online" else None,
            settings=wandb.Settings(silent=True),
        )
        self.address: str | None = self._run.url if mode == "online" else None

    def row(self, step: int, signals: dict[str, float]) -> None:
        """Log the signals."""
        self._run.log(signals, step=step)

    def image(self, step: int, file: Path, name: str = "samples") -> None:
        """Log the grid."""
        self._run.log({name: self._wandb.Image(str(file))}, step=step)

    def finding(self, step: int, title: str, text: str) -> None:
        """Raise an alert."""
        self._run.alert(title=title, text=f"step {step}: {text}", level="WARN")

    def close(self) -> None:
        """Finish the W&B run."""
        self._run.finish()


class MLflow:
    """A run of MLflow at ``MLFLOW_TRACKING_URI``; without it in the database ``mlflow.db`` of the run's folder.

    ``MLFLOW_EXPERIMENT_NAME`` names the experiment, ``trainwright`` by default. A resumed run goes on in the same run of MLflow.
    """

    def __init__(self, folder: Path, name: str, resumed_at: int, config: dict[str, Any]) -> None:
        try:
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing leaves this machine unasked
            from mlflow.entities import Metric
            from mlflow.tracking import MlflowClient
        except ImportError:
            raise UserError("tracker=mlflow needs a package: pip install 'trainwright[mlflow]'.") from None
        self._metric = Metric
        own = folder.resolve()
        place = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{own / 'mlflow.db'}"
        images = None if os.environ.get("MLFLOW_TRACKING_URI") else (own / "mlflow").as_uri()
        self._client = client = MlflowClient(place)
        title = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "trainwright"
        known = client.get_experiment_by_name(title)
        experiment = known.experiment_id if known is not None else client.create_experiment(title, images)
        found = (
            client.search_runs([experiment], f"tags.trainwright_run = '{name}'", max_results=1) if resumed_at else []
        )
        tags = {"trainwright_run": name, "mlflow.runName": name}
        self._id = found[0].info.run_id if found else client.create_run(experiment, tags=tags).info.run_id
        for key, value in flat(config).items():
            if not found:
                client.log_param(self._id, key, str(value)[:500])

    def row(self, step: int, signals: dict[str, float]) -> None:
        """Log the signals as metrics."""
        now = int(time.time() * 1000)
        self._client.log_batch(self._id, [self._metric(name, value, now, step) for name, value in signals.items()])

    def image(self, step: int, file: Path, name: str = "samples") -> None:
        """Log the grid as an artifact."""
        self._client.log_artifact(self._id, str(file), name)

    def finding(self, step: int, title: str, text: str) -> None:
        """Set a tag of the run, and log the text."""
        self._client.set_tag(self._id, "doctor", title)
        self._client.log_text(self._id, f"{title}\n{text}\n", f"doctor/step_{step:08d}.txt")

    def close(self) -> None:
        """End the run."""
        self._client.set_terminated(self._id)


class Trackio:
    """A project of trackio on this machine: ``TRACKIO_PROJECT``, or ``trainwright``; ``trackio show`` opens it."""

    def __init__(self, folder: Path, name: str, resumed_at: int, config: dict[str, Any]) -> None:
        try:
            import trackio
        except ImportError:
            raise UserError("tracker=trackio needs a package: pip install 'trainwright[trackio]'.") from None
        self._trackio = trackio
        project = os.environ.get("TRACKIO_PROJECT") or "trainwright"
        resume = "allow" if resumed_at else "never"
        self._run = trackio.init(
            project, name=name, config=flat(config), resume=resume, embed=False,
            auto_log_cpu=False, auto_log_gpu=False,
        )  # fmt: skip

    def row(self, step: int, signals: dict[str, float]) -> None:
        """Log the signals."""
        self._run.log(dict(signals), step=step)

    def image(self, step: int, file: Path, name: str = "samples") -> None:
        """Log the grid."""
        self._run.log({name: self._trackio.Image(str(file))}, step=step)

    def finding(self, step: int, title: str, text: str) -> None:
        """Raise an alert."""
        self._run.alert(title, f"step {step}: {text}", level=self._trackio.AlertLevel.WARN)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


KINDS: dict[str, Callable[[Path, str, int, dict[str, Any]], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
    "trackio": Trackio,
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

    def image(self, step: int, file: Path, name: str = "samples") -> None:
        """See :class:`Tracker`."""
        self._try(lambda: self._tracker.image(step, file, name))

    def finding(self, step: int, title: str, text: str) -> None:
        """See :class:`Tracker`."""
        self._try(lambda: self._tracker.finding(step, title, text))

    def close(self) -> None:
        """See :class:`Tracker`."""
        self._try(self._tracker.close)

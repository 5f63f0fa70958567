"""A callback for PyTorch Lightning: ``Trainer(callbacks=[DoctorCallback(sample=..., real=...)])``."""

from typing import Any

from trainwright.diagnosis.watch import Watch
from trainwright.errors import UserError

try:
    from pytorch_lightning import Callback
except ImportError:  # the same classes under the other distribution's name
    try:
        from lightning.pytorch import Callback  # type: ignore[no-redef]
    except ImportError:
        raise UserError(
            "trainwright.integrations.lightning needs PyTorch Lightning: pip install pytorch-lightning."
        ) from None


class DoctorCallback(Callback):
    """Watches everything that the module logs with ``self.log``; the verdict is in ``callback.watch.latest``.

    Args:
        stop: end training when the doctor is sure of a failure that will not mend itself.
        options: as for :func:`trainwright.watch`; ``total`` is taken from the trainer.
    """

    def __init__(self, stop: bool = False, **options: Any) -> None:
        self.stop, self.options = stop, options
        self.watch: Watch | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begins to watch."""
        total = trainer.estimated_stepping_batches
        networks = dict(pl_module.named_children())
        known = {"networks": networks, "settings": dict(pl_module.hparams or {})} | self.options
        self.watch = Watch(int(total) if total != float("inf") else None, **known)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Takes what was logged in this step."""
        if self.watch is None or not trainer.is_global_zero:
            return
        logged = {n: v for n, v in trainer.callback_metrics.items() if getattr(v, "numel", lambda: 1)() == 1}
        found = self.watch(trainer.global_step, logged)
        if self.stop and found is not None and any(d.certain for d in found.alarms):
            trainer.should_stop = True

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Looks once more."""
        if self.watch is not None and trainer.is_global_zero and self.watch.rows:
            self.watch.diagnose()

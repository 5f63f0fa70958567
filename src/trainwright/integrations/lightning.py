"""Callback for PyTorch Lightning: ``Trainer(callbacks=[DoctorCallback(sample=..., real=...)])``."""

from typing import Any

from trainwright.diagnosis.watch import Watch
from trainwright.errors import UserError

try:
    from pytorch_lightning import Callback
except ImportError:  # the other distribution has the same classes
    try:
        from lightning.pytorch import Callback  # type: ignore[no-redef]
    except ImportError:
        raise UserError(
            "trainwright.integrations.lightning needs PyTorch Lightning: pip install pytorch-lightning."
        ) from None


class DoctorCallback(Callback):
    """Callback that watches all values of ``self.log``; the verdict is in ``callback.watch.latest``.

    Args:
        stop: end training when the doctor is certain of a failure from which training will not recover.
        options: as for :func:`trainwright.watch`; ``total`` is taken from the trainer.
    """

    def __init__(self, stop: bool = False, **options: Any) -> None:
        self.stop, self.options = stop, options
        self.watch: Watch | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start to watch."""
        total = trainer.estimated_stepping_batches
        networks = dict(pl_module.named_children())
        known = {"networks": networks, "settings": dict(pl_module.hparams or {})} | self.options
        self.watch = Watch(int(total) if total != float("inf") else None, **known)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Pass the values that were logged in this step to the doctor."""
        if self.watch is None or not trainer.is_global_zero:
            return
        logged = {n: v for n, v in trainer.callback_metrics.items() if getattr(v, "numel", lambda: 1)() == 1}
        found = self.watch(trainer.global_step, logged)
        if self.stop and found is not None and any(d.certain for d in found.alarms):
            trainer.should_stop = True

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Diagnose the run at its end."""
        if self.watch is not None and trainer.is_global_zero and self.watch.rows:
            self.watch.diagnose()

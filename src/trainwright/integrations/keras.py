"""Callback for Keras: ``model.fit(..., callbacks=[DoctorCallback()])``.

Networks are inspected with the PyTorch backend, losses are judged with any.
"""

from typing import Any

from trainwright.diagnosis.watch import Watch
from trainwright.errors import UserError

try:
    from keras.callbacks import Callback
except ImportError:
    raise UserError("trainwright.integrations.keras needs Keras: pip install keras.") from None


class DoctorCallback(Callback):
    """Callback that watches the logs of each batch and epoch; the verdict is in ``callback.watch.latest``.

    Args:
        stop: end training when the doctor is certain of a failure from which training will not recover.
        options: as for :func:`trainwright.watch`; ``total`` is taken from ``fit``.
    """

    def __init__(self, stop: bool = False, **options: Any) -> None:
        super().__init__()
        self.stop, self.options = stop, options
        self.watch: Watch | None = None
        self.batches = 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Start to watch."""
        epochs, steps = self.params.get("epochs"), self.params.get("steps")
        self.watch = Watch(epochs * steps if epochs and steps else None, **self.options)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Pass the values of this batch to the doctor."""
        self.batches += 1
        self._take(logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Pass the validation values of this epoch to the doctor."""
        self._take({n: v for n, v in (logs or {}).items() if n.startswith("val_")})

    def on_train_end(self, logs: Any = None) -> None:
        """Diagnose the run at its end, and say so in one sentence."""
        if self.watch is not None and self.watch.rows:
            self.watch.close()

    def _take(self, logs: Any) -> None:
        if self.watch is None or not logs:
            return
        found = self.watch(self.batches, dict(logs))
        if self.stop and found is not None and any(d.certain for d in found.alarms):
            self.model.stop_training = True

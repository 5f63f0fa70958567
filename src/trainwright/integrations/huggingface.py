"""Callback for Hugging Face's ``Trainer``: ``Trainer(..., callbacks=[DoctorCallback()])``."""

from typing import Any

from trainwright.diagnosis.watch import Watch
from trainwright.errors import UserError

try:
    from transformers import TrainerCallback
except ImportError:
    raise UserError("trainwright.integrations.huggingface needs transformers: pip install transformers.") from None


class DoctorCallback(TrainerCallback):
    """Callback that watches all values that the trainer logs; the verdict is in ``callback.watch.latest``.

    ``logging_steps`` of the trainer sets the interval. The trainer omits NaN from its logged loss unless
    ``logging_nan_inf_filter=False``. The optimizer and the model are found.

    Args:
        stop: end training when the doctor is certain of a failure from which training will not recover.
        options: as for :func:`trainwright.watch`; ``total`` is taken from the trainer.
    """

    def __init__(self, stop: bool = False, **options: Any) -> None:
        self.stop, self.options = stop, options
        self.watch: Watch | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Start to watch."""
        if not state.is_world_process_zero:
            return
        known = {"settings": {"learning_rate": args.learning_rate, "batch_size": args.train_batch_size}} | self.options
        if more.get("model") is not None:
            known.setdefault("networks", {"model": more["model"]})
        self.watch = Watch(state.max_steps or None, **known)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **more: Any) -> None:
        """Pass the logged values to the doctor."""
        if self.watch is None:
            return
        numbers = {n: v for n, v in (logs or {}).items() if isinstance(v, int | float) and n != "epoch"}
        found = self.watch(state.global_step, numbers)
        if self.stop and found is not None and any(d.certain for d in found.alarms):
            control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Diagnose the run at its end, and say so in one sentence."""
        if self.watch is not None and self.watch.rows:
            self.watch.close()

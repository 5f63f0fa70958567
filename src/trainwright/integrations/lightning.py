"""Callback for PyTorch Lightning: ``Trainer(callbacks=[DoctorCallback(sample=..., real=...)])``."""

import inspect
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

    Networks and optimizers of the module are found. If ``real`` is given without ``sample``, a method ``sample(n)`` of the
    module is used.

    Args:
        stop: end training when the doctor is certain of a failure from which training will not recover.
        options: as for :func:`trainwright.watch`; ``total`` is taken from the trainer.
    """

    def __init__(self, stop: bool = False, **options: Any) -> None:
        self.stop, self.options = stop, options
        self.watch: Watch | None = None
        self.batches = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start to watch."""
        if not trainer.is_global_zero:
            return
        batches = trainer.num_training_batches
        epochs = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else None
        total = None if epochs is None or batches == float("inf") else int(batches) * epochs
        if trainer.max_steps and trainer.max_steps > 0:
            steps = trainer.max_steps * trainer.accumulate_grad_batches // max(1, len(trainer.optimizers))
            total = steps if total is None else min(total, steps)
        known = {
            "settings": {
                k: v
                for k, v in dict(pl_module.hparams or {}).items()
                if isinstance(v, int | float | str | list | tuple)
            },
            "optimizers": _named(pl_module, trainer.optimizers),
        } | self.options
        if (
            known.get("real") is not None
            and known.get("sample") is None
            and callable(getattr(pl_module, "sample", None))
        ):
            known["sample"] = pl_module.sample
        self.watch = Watch(total, **known)
        children = {n: m for n, m in pl_module.named_children() if any(True for _ in m.parameters())}
        self.watch.observer.names |= {id(m): n for n, m in children.items()}

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Pass the values that were logged in this batch to the doctor."""
        if self.watch is None:
            return
        self.batches += 1
        logged = {n: v for n, v in trainer.callback_metrics.items() if getattr(v, "numel", lambda: 1)() == 1}
        found = self.watch(self.batches, logged)
        if self.stop and found is not None and any(d.certain for d in found.alarms):
            trainer.should_stop = True

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Diagnose the run at its end, and say so in one sentence."""
        if self.watch is not None and self.watch.rows:
            self.watch.close()


def _named(module: Any, optimizers: Any) -> dict[str, Any]:
    """Return the optimizers by number: a module returns them from one function, without names."""
    try:
        text = inspect.getsource(type(module).configure_optimizers)
    except (OSError, TypeError):
        text = ""
    names = [
        line.partition("=")[0].strip()
        for line in text.splitlines()
        if "optim." in line and line.partition("=")[0].strip().isidentifier()
    ]
    if len(names) != len(optimizers) or len(set(names)) != len(names):
        names = [f"optimizer {i}" if len(optimizers) > 1 else "the optimizer" for i in range(len(optimizers))]
    return dict(zip(names, optimizers, strict=True))

"""Tracker for Hugging Face Accelerate: ``Accelerator(log_with=DoctorTracker(...))`` is the one changed line.

Every ``accelerator.log(values, step=step)`` of the script reaches the doctor, on the main process only.
"""

from typing import Any

from trainwright.diagnosis.watch import Watch
from trainwright.errors import UserError

try:
    from accelerate.tracking import GeneralTracker, on_main_process
except ImportError:
    raise UserError("trainwright.integrations.accelerate needs accelerate: pip install accelerate.") from None


class DoctorTracker(GeneralTracker):
    """Tracker that watches what a script logs; the verdict is in ``tracker.watch.latest``.

    Args:
        total: planned number of steps.
        options: as for :func:`trainwright.watch`.
    """

    name = "trainwright"
    requires_logging_directory = False
    main_process_only = True

    def __init__(self, total: int | None = None, **options: Any) -> None:
        super().__init__()
        self.total, self.options = total, options
        self.watch: Watch | None = None
        self.calls = 0

    @property
    def tracker(self) -> Any:
        """The watch, None before the first log."""
        return self.watch

    @on_main_process
    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """Take the script's settings as settings of the training."""
        known = {k: v for k, v in values.items() if isinstance(v, int | float | str | list | tuple)}
        self.options["settings"] = known | dict(self.options.get("settings") or {})

    @on_main_process
    def log(self, values: dict[str, Any], step: int | None = None, **more: Any) -> None:
        """Pass the logged values to the doctor."""
        if self.watch is None:
            self.watch = Watch(self.total, **self.options)
        self.calls += 1
        self.watch(
            self.calls if step is None else step, {k: v for k, v in values.items() if not isinstance(v, str | dict)}
        )

    @on_main_process
    def finish(self) -> None:
        """Diagnose the run at its end, and say so in one sentence."""
        if self.watch is not None and self.watch.rows:
            self.watch.close()

"""Time of a run by purpose: steps, data, monitoring (signals, grids, held-out measurements), checkpoints, final measurements."""

import contextlib
import time
from collections.abc import Iterator


class Clock:
    """Seconds by purpose since the last row and since the process started, without the first step (warm-up)."""

    def __init__(self) -> None:
        self.window: dict[str, float] = {}
        self.whole: dict[str, float] = {}

    @contextlib.contextmanager
    def during(self, purpose: str) -> Iterator[None]:
        """Add the time inside to ``purpose``."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - begin
            for totals in (self.window, self.whole):
                totals[purpose] = totals.get(purpose, 0.0) + spent

    def reset(self) -> None:
        """Forget everything so far."""
        self.window, self.whole = {}, {}

    def row(self, samples: int) -> dict[str, float]:
        """Return speed signals of the window, and start the next one.

        Args:
            samples: number of training samples in the window.
        """
        window, self.window = self.window, {}
        seconds = sum(window.values())
        busy = window.get("step", 0.0) + window.get("data", 0.0)
        if seconds <= 0 or busy <= 0:
            return {}
        return {
            "speed/samples_per_second": samples / busy,
            "speed/data_wait_share": window.get("data", 0.0) / busy,
            "monitor/time_share": self.monitor_share(),
        }

    def monitor_share(self) -> float:
        """Return the share of this process's time that monitoring took (0 to 1), without checkpoints and what follows the last step."""
        seconds = sum(v for k, v in self.whole.items() if k not in ("checkpoint", "final"))
        return self.whole.get("monitor", 0.0) / seconds if seconds > 0 else 0.0

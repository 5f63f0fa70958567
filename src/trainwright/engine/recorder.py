"""Means of signals over log windows and over epochs, exact across a resume."""

from collections.abc import Mapping
from typing import Any


class Mean:
    """Running means of any number of named values."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self.sums: dict[str, list[float]] = {k: list(v) for k, v in (state or {}).items()}

    def add(self, values: Mapping[str, float]) -> None:
        """Add one value of each name."""
        for name, number in values.items():
            entry = self.sums.setdefault(name, [0.0, 0])
            entry[0] += number
            entry[1] += 1

    def take(self) -> dict[str, float]:
        """Return the means so far and reset them."""
        means = {name: total / count for name, (total, count) in self.sums.items()}
        self.sums = {}
        return means


class Recorder:
    """Two windows over the same signals: since the last log row, and since the start of the epoch."""

    def __init__(self) -> None:
        self.window = Mean()
        self.epoch = Mean()
        self.watched: tuple[str, ...] = ()  # signals whose epoch mean is wanted

    def add(self, values: Mapping[str, float]) -> None:
        """Record one value of each signal."""
        self.window.add(values)
        self.epoch.add({name: values[name] for name in self.watched if name in values})

    def state(self) -> dict[str, Any]:
        """Return the contents of unfinished windows for a checkpoint."""
        return {"window": self.window.sums, "epoch": self.epoch.sums}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        self.window, self.epoch = Mean(state["window"]), Mean(state["epoch"])

"""The doctor's only input: signals as series over steps, with settings and facts about the run."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MOST_ROWS = 4000  # rows kept in memory
SPEED = ("speed/", "monitor/")  # these depend on the machine, so no symptom may read them


@dataclass(frozen=True)
class Series:
    """One signal: increasing ``steps`` (n,) and ``values`` (n,), float64; non-finite values are kept."""

    steps: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def last(self) -> float:
        """Newest value."""
        return float(self.values[-1])

    def after(self, step: float) -> "Series":
        """Return the readings after ``step``."""
        keep = self.steps > step
        return Series(self.steps[keep], self.values[keep])

    def at(self, steps: np.ndarray) -> np.ndarray:
        """Return the newest value at or before each step; NaN before the first."""
        where = np.searchsorted(self.steps, steps, side="right") - 1
        return np.where(where >= 0, self.values[np.maximum(where, 0)], np.nan)


@dataclass
class History:
    """Signals of one run up to now.

    Attributes:
        signals: series by name; ``docs/reference/signals.md`` lists the names that symptoms use.
        settings: flattened config (``optim.lr_g``); empty for a foreign log.
        facts: further knowledge, JSON values by name. Common ones: ``kind`` (see :mod:`~trainwright.diagnosis.kinds`); ``adversarial``
            (``wasserstein``, ``bce``, ``hinge``); ``log`` (format of a log that was read) and ``ours`` (a run of Trainwright wrote
            it); ``training`` (number of samples); ``batches_per_epoch``; ``beta_threshold`` and ``effective_beta``; ``non_finite``
            (an event's evidence); ``transposed`` (kernel/stride of upsampling layers, as text); ``continues_training`` (samples
            start with training images); ``decoder_is_told`` (the decoder receives all that the encoder sees); ``inspections``
            (their results). A family returns further ones from its model's ``facts``; a watch finds them in
            :meth:`~trainwright.diagnosis.observing.observer.Observer.facts`, and takes any by ``facts=``.
        total: planned number of steps; None if unknown.
        baseline: a healthy run of the same program, to compare with.
        clocks: columns of a log that count epochs or measure time; no symptom reads them.
    """

    signals: dict[str, Series]
    settings: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    total: int | None = None
    baseline: "History | None" = None
    clocks: Mapping[str, Series] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        rows: Iterable[Mapping[str, Any]],
        settings: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
        total: int | None = None,
    ) -> "History":
        """Make a history from rows of ``metrics.jsonl``.

        Each row has ``step`` and any of the signals; values that are not numbers are skipped.
        """
        columns: dict[str, tuple[list[float], list[float]]] = {}
        for row in rows:
            step = row["step"]
            for name, value in row.items():
                if (
                    name in ("step", "epoch")
                    or name.startswith(SPEED)
                    or isinstance(value, bool | str)
                    or value is None
                ):
                    continue
                steps, values = columns.setdefault(name, ([], []))
                steps.append(float(step))
                values.append(float(value))
        signals = {n: Series(np.array(s), np.array(v)) for n, (s, v) in columns.items()}
        return cls(signals, settings or {}, facts or {}, total)

    def get(self, *names: str, least: int = 1) -> Series | None:
        """Return the first of these signals that has at least ``least`` values."""
        for name in names:
            series = self.signals.get(name)
            if series is not None and len(series) >= least:
                return series
        return None

    def match(self, prefix: str) -> Iterator[tuple[str, Series]]:
        """Yield (rest of the name, series) of every signal with this prefix, in alphabetical order."""
        for name in sorted(self.signals):
            if name.startswith(prefix):
                yield name.removeprefix(prefix), self.signals[name]

    def setting(self, *names: str) -> Any:
        """Return the first known of these settings, by full path or by leaf name."""
        for name in names:
            if name in self.settings:
                return self.settings[name]
            found = [v for k, v in self.settings.items() if k.rpartition(".")[2] == name]
            if len(found) == 1:
                return found[0]
        return None

    def number(self, *names: str) -> float | None:
        """Return the setting as a number; for a schedule, its largest value."""
        return largest(self.setting(*names))

    @property
    def foreign(self) -> bool:
        """True for a log of another program, to which nothing that a family declares can apply."""
        return bool(self.facts.get("log")) and not self.facts.get("ours")

    @property
    def first(self) -> float:
        """First step of any signal."""
        return min((float(s.steps[0]) for s in self.signals.values()), default=0.0)

    @property
    def now(self) -> float:
        """Last step of any signal."""
        return max((float(s.steps[-1]) for s in self.signals.values()), default=0.0)

    @property
    def readings(self) -> int:
        """Number of readings of the longest signal."""
        return max(map(len, self.signals.values()), default=0)

    @property
    def budget(self) -> float:
        """Planned number of steps, or the steps so far if no number was given."""
        return float(max(self.total or 0, self.now)) or 1.0

    def finite(self) -> "History":
        """Return the history without readings that are NaN or infinite."""
        if all(np.isfinite(s.values).all() for s in self.signals.values()):
            return self
        kept = {
            n: Series(s.steps[ok], s.values[ok]) for n, s in self.signals.items() if (ok := np.isfinite(s.values)).any()
        }
        baseline = None if self.baseline is None else self.baseline.finite()
        return History(kept, self.settings, self.facts, self.total, baseline)

    def until(self, step: float) -> "History":
        """Return the history as it was at ``step``."""
        cut = {
            n: Series(s.steps[keep], s.values[keep]) for n, s in self.signals.items() if (keep := s.steps <= step).any()
        }
        return History(cut, self.settings, self.facts, self.total, self.baseline)


def compact(rows: list[dict[str, Any]], most: int = MOST_ROWS) -> list[dict[str, Any]]:
    """Thin the rows of a long run to at most ``most``.

    Every second row of the older half is dropped, repeatedly. Rows with more signals than usual, such as probes of samples, are
    kept as long as dropping the others is enough.
    """
    while len(rows) > most:
        half = len(rows) // 2
        usual = sorted(map(len, rows[:half]))[half // 2]
        older = [r for i, r in enumerate(rows[:half]) if i % 2 == 0 or len(r) > usual]
        rows = (older if len(older) < 0.9 * half else rows[:half:2]) + rows[half:]
    return rows


def largest(value: Any) -> float | None:
    """Return the largest value of a setting, which may be a number or the mapping of a schedule."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, Mapping):
        points = [p[1] for p in value.get("points", ())]
        numbers = [value[k] for k in ("start", "end") if isinstance(value.get(k), int | float)] + points
        return float(max(numbers)) if numbers else None
    return None

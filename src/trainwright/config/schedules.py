"""Values that change over a run: constant, linear, cosine, tanh, cyclical and piecewise.

A schedule is a pure function of step and epoch, so a resumed run needs no stored state for it. In YAML a number is a
constant, and anything else is a mapping with a ``kind``.
"""

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from trainwright.config.base import Config, setting

Unit = Literal["step", "epoch"]


class Linear(Config):
    """A straight ramp from ``start`` to ``end`` over ``over`` units, then ``end`` (KL warm-up, LR warm-up)."""

    kind: Literal["linear"]
    start: float = setting(0.0, "Value at the beginning.")
    end: float = setting(..., "Value at the end of the ramp, and after it.")
    over: float = setting(..., "Length of the ramp, in `unit`.", gt=0)
    unit: Unit = setting("step", "Unit of lengths.")

    def at(self, t: float) -> float:
        """Return the value after ``t`` units."""
        return self.start + (self.end - self.start) * min(1.0, t / self.over)


class Cosine(Config):
    """Linear warm-up over ``warmup``, then half a cosine from ``start`` to ``end`` until ``over``, then ``end``."""

    kind: Literal["cosine"]
    start: float = setting(..., "Value at the top of the cosine.")
    end: float = setting(0.0, "Value at the foot of the cosine, and after it.")
    over: float = setting(..., "Position of the foot, in `unit`, counted from the start of the run.", gt=0)
    warmup: float = setting(0.0, "Length of a linear ramp from 0 to `start`, in `unit`.", ge=0)
    unit: Unit = setting("step", "Unit of lengths.")

    @model_validator(mode="after")
    def _warmup_fits(self) -> "Cosine":
        if self.warmup >= self.over:
            raise ValueError(f"warmup ({self.warmup}) must be shorter than over ({self.over})")
        return self

    def at(self, t: float) -> float:
        """Return the value after ``t`` units."""
        if t < self.warmup:
            return self.start * t / self.warmup
        share = min(1.0, (t - self.warmup) / (self.over - self.warmup))
        return self.end + (self.start - self.end) * 0.5 * (1 + math.cos(math.pi * share))


class Tanh(Config):
    """``end · ½(tanh(t/scale - shift) + 1)``; the defaults are the KL weight of the sequence VAE guide."""

    kind: Literal["tanh"]
    end: float = setting(1.0, "Value approached for large t.")
    scale: float = setting(200.0, "Length of one unit of the tanh argument, in `unit`.", gt=0)
    shift: float = setting(2.5, "Position of the middle: t = scale · shift.")
    unit: Unit = setting("epoch", "Unit of t.")

    def at(self, t: float) -> float:
        """Return the value after ``t`` units."""
        return self.end * 0.5 * (math.tanh(t / self.scale - self.shift) + 1)


class Cyclical(Config):
    """A ramp from ``start`` to ``end`` over ``ratio`` of each ``period``, then ``end`` (Fu et al. 2019)."""

    kind: Literal["cyclical"]
    start: float = setting(0.0, "Value at the beginning of each cycle.")
    end: float = setting(1.0, "Value at the end of each ramp.")
    period: float = setting(..., "Length of a cycle, in `unit`.", gt=0)
    ratio: float = setting(0.5, "Share of a cycle that the ramp takes.", gt=0, le=1)
    cycles: int | None = setting(None, "Number of cycles, after which the value stays at `end`; null: no limit.", ge=1)
    unit: Unit = setting("step", "Unit of lengths.")

    def at(self, t: float) -> float:
        """Return the value after ``t`` units."""
        if self.cycles is not None and t >= self.cycles * self.period:
            return self.end
        share = (t % self.period) / self.period
        return self.start + (self.end - self.start) * min(1.0, share / self.ratio)


class Piecewise(Config):
    """Straight lines through ``points`` of (t, value); constant before the first and after the last."""

    kind: Literal["piecewise"]
    points: list[Annotated[tuple[float, float], Field(strict=False)]] = setting(
        ..., "Pairs [t, value] with growing t.", min_length=1
    )
    unit: Unit = setting("step", "Unit of t.")

    @model_validator(mode="after")
    def _growing(self) -> "Piecewise":
        times = [t for t, _ in self.points]
        if any(b <= a for a, b in zip(times, times[1:], strict=False)):
            raise ValueError("points must have growing t")
        return self

    def at(self, t: float) -> float:
        """Return the value after ``t`` units."""
        if t <= self.points[0][0]:
            return self.points[0][1]
        for (t0, v0), (t1, v1) in zip(self.points, self.points[1:], strict=False):
            if t <= t1:
                return v0 + (v1 - v0) * (t - t0) / (t1 - t0)
        return self.points[-1][1]


Curve = Annotated[Linear | Cosine | Tanh | Cyclical | Piecewise, Field(discriminator="kind")]


def _never_negative(curve: Curve) -> Curve:
    values = [v for _, v in curve.points] if isinstance(curve, Piecewise) else [curve.end, getattr(curve, "start", 0.0)]
    if min(values) < 0:
        raise ValueError("a schedule for this setting must not go below 0")
    return curve


Schedule = float | Curve
Rate = Annotated[float, Field(ge=0)] | Annotated[Curve, AfterValidator(_never_negative)]
"""A schedule of a weight or a learning rate: never negative."""


def value(schedule: Schedule, step: int, epoch: float) -> float:
    """Return the schedule's value at ``step`` (from 0) and ``epoch`` (passes through the data, with fractions)."""
    if isinstance(schedule, int | float):
        return float(schedule)
    return schedule.at(step if schedule.unit == "step" else epoch)

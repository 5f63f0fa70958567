"""Phases: stretches of one run with settings of their own, each ended by a gate and begun from the best weights of the one before.

A phase's settings are laid over those of the recipe and of the phases before it, so they take effect: weights, rates, batch size and
architecture alike. The video guide's program did not do that: there a loaded checkpoint overruled the new weight and the new rates.
"""

import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from pydantic import JsonValue, model_validator

from trainwright.config.base import Config, setting
from trainwright.config.names import resolve
from trainwright.config.reading import Settings, add_mapping, add_overrides, validate
from trainwright.errors import UserError

CONDITION = re.compile(r"\s*(>=|<=|>|<)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*")
WHOLE_RUN = (
    "data.",
    "phases",
    "train.precision",
    "train.devices",
    "train.accelerator",
    "train.threads",
    "train.tracker",
)
COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


class Phase(Config):
    """A stretch of a run."""

    name: str = setting(..., "Its name in events and report.", pattern=r"^[\w.-]+$")
    settings: dict[str, JsonValue] = setting({}, "Setting to value, over the recipe's and those of the phases before.")
    steps: int = setting(..., "Budget: it ends after so many steps at the latest.", ge=1)
    reach: dict[str, str] = setting(
        {}, "Levels that end it: signal to a condition such as `>= 15` on its newest reading."
    )
    plateau: int | None = setting(
        None,
        "It ends only when `metric` has not become better for so many readings, once the levels are reached.",
        ge=1,
    )
    metric: str = setting(
        "", "The signal whose best checkpoint the next phase begins from, or the run ends with; none: the last one."
    )
    better: Literal["higher", "lower"] = setting("higher", "Which way `metric` improves.")
    min_delta: float = setting(0.0, "A smaller gain of `metric` does not count.", ge=0)
    needs: dict[str, str] = setting({}, "It is passed over unless these levels hold when its turn comes.")

    @model_validator(mode="after")
    def _is_sound(self) -> "Phase":
        for condition in (*self.reach.values(), *self.needs.values()):
            if CONDITION.fullmatch(condition) is None:
                raise ValueError(f"phase {self.name}: {condition!r} is no condition; write one such as '>= 15'.")
        if self.plateau is not None and not self.metric:
            raise ValueError(f"phase {self.name}: a plateau needs `metric`.")
        return self


def holds(condition: str, value: float) -> bool:
    """Whether a value meets a condition such as ``>= 15``; what is not finite meets none."""
    found = CONDITION.fullmatch(condition)
    assert found is not None
    return math.isfinite(value) and COMPARE[found[1]](value, float(found[2]))


def effective(config: Any, index: int) -> Any:
    """The config in force in phase ``index``: without phases of its own.

    Raises:
        UserError: a phase names no setting, or a value that the family refuses.
    """
    settings = Settings()
    plain = {**config.model_dump(mode="json"), "phases": []}
    add_mapping(settings, type(config), plain, "recipe")
    for phase in config.phases[: index + 1]:
        for path in phase.settings:
            whole = ".".join(resolve(type(config), path, f"phase {phase.name}"))
            if whole.startswith(WHOLE_RUN):
                raise UserError(f"phase {phase.name}: {whole} is the same for a whole run; give it to the recipe.")
        words = [f"{path}={json.dumps(value)}" for path, value in phase.settings.items()]
        try:
            add_overrides(settings, type(config), words)
        except UserError as error:
            raise UserError(f"phase {phase.name}: {str(error).removeprefix('override ')}") from None
    return validate(settings, type(config))


class PhaseSchedule:
    """Where a run is among its phases, and what its gate has seen. All of it is stored in a checkpoint.

    Args:
        config: the recipe with its phases; at least one.
    """

    def __init__(self, config: Any) -> None:
        self.base, self.phases = config, list(config.phases)
        self.index = 0
        self.started = 0
        self.latest: dict[str, float] = {}
        self.seen: list[str] = []  # signals that were read in this phase
        self.best: float | None = None
        self.waited = 0
        self.over = False

    @property
    def phase(self) -> Phase:
        """The one that is running."""
        return self.phases[self.index]

    def config(self) -> Any:
        """Settings in force."""
        return effective(self.base, self.index)

    @property
    def total(self) -> int:
        """Steps that the run has if every phase uses up its budget from here on."""
        return self.started + sum(phase.steps for phase in self.phases[self.index :])

    def read(self, signals: Mapping[str, float]) -> bool:
        """Takes in a row of signals; returns whether ``metric`` is the best of this phase so far."""
        phase = self.phase
        wanted = {phase.metric, *phase.reach}
        for following in self.phases[self.index + 1 :]:
            wanted |= set(following.needs)
        seen = {name: signals[name] for name in wanted if name in signals}
        self.latest |= seen
        self.seen = sorted({*self.seen, *seen})
        if phase.metric not in signals or not math.isfinite(signals[phase.metric]):
            return False
        value = signals[phase.metric]
        sign = 1 if phase.better == "higher" else -1
        if self.best is None or sign * (value - self.best) > phase.min_delta:
            self.best, self.waited = value, 0
            return True
        self.waited += 1
        return False

    def ended(self, step: int) -> str | None:
        """Why the phase is over at this step, or None; also None once the last one has ended."""
        if self.over:
            return None
        phase = self.phase
        missing = self._missing(phase.reach, self.seen)
        flat = phase.plateau is None or self.waited >= phase.plateau
        if (phase.reach or phase.plateau is not None) and not missing and flat:
            reported = [f"{n} {self.latest[n]:.4g} {c}" for n, c in phase.reach.items()]
            if phase.plateau is not None:
                reported.append(f"{phase.metric} has not become better for {self.waited} readings")
            return "gate passed: " + ", ".join(reported)
        if step - self.started >= phase.steps:
            if missing:
                return f"budget of {phase.steps} steps used up without {', '.join(missing)}"
            return f"budget of {phase.steps} steps used up"
        return None

    def _missing(self, conditions: Mapping[str, str], among: Iterable[str]) -> list[str]:
        found = []
        for name, condition in conditions.items():
            value = self.latest.get(name) if name in among else None
            if value is None or not holds(condition, value):
                found.append(f"{name} {condition} (is {'not measured' if value is None else f'{value:.4g}'})")
        return found

    def advance(self, step: int) -> list[tuple[str, str]]:
        """Goes to the next phase whose needs are met.

        Returns:
            (name, what was missing) of each phase that was passed over. ``over`` is True if none is left.
        """
        passed = []
        for index in range(self.index + 1, len(self.phases)):
            missing = self._missing(self.phases[index].needs, self.latest)
            if missing:
                passed.append((self.phases[index].name, ", ".join(missing)))
                continue
            self.index, self.started, self.best, self.waited, self.seen = index, step, None, 0, []
            return passed
        self.over = True
        return passed

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {name: getattr(self, name) for name in ("index", "started", "latest", "seen", "best", "waited", "over")}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state`; a recipe that has fewer phases now ends."""
        for name, value in state.items():
            name = {"begun": "started", "heard": "seen"}.get(name, name)  # as 0.1.0 wrote them
            setattr(self, name, dict(value) if name == "latest" else value)
        if self.index >= len(self.phases):
            self.index, self.over = len(self.phases) - 1, True

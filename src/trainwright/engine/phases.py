"""Phases of a run. Each has its own settings, ends at a gate, and starts from the previous phase's best weights.

A phase's settings override those of the recipe and of the phases before it: loss weights, learning rates, batch size and architecture.
In the program of the video VAE-GAN guide they did not: a loaded checkpoint overruled the new weight and the new rates.
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
    """One phase of a run."""

    name: str = setting(..., "Name of the phase in events and reports.", pattern=r"^[\w.-]+$")
    settings: dict[str, JsonValue] = setting({}, "Settings that override the recipe's and those of the phases before.")
    steps: int = setting(..., "Budget: the phase ends after this number of steps at the latest.", ge=1)
    reach: dict[str, str] = setting(
        {}, "Gate: each signal with a condition on its newest reading, such as `>= 15`; the phase ends once all hold."
    )
    plateau: int | None = setting(
        None,
        "Patience: readings of `metric` without improvement before the phase may end, once the levels are reached.",
        ge=1,
    )
    metric: str = setting(
        "", "Signal whose best checkpoint starts the next phase or ends the run; none: the last checkpoint."
    )
    better: Literal["higher", "lower"] = setting("higher", "Which way `metric` improves.")
    min_delta: float = setting(0.0, "A smaller gain of `metric` does not count as an improvement.", ge=0)
    needs: dict[str, str] = setting(
        {}, "Conditions on signals; unless all hold when it would start, the phase is skipped."
    )

    @model_validator(mode="after")
    def _is_sound(self) -> "Phase":
        for condition in (*self.reach.values(), *self.needs.values()):
            if CONDITION.fullmatch(condition) is None:
                raise ValueError(f"phase {self.name}: {condition!r} is not a condition; write one such as '>= 15'.")
        if self.plateau is not None and not self.metric:
            raise ValueError(f"phase {self.name}: a plateau needs `metric`.")
        return self


def holds(condition: str, value: float) -> bool:
    """Return whether a value meets a condition such as ``>= 15``; a value that is not finite meets none."""
    found = CONDITION.fullmatch(condition)
    assert found is not None
    return math.isfinite(value) and COMPARE[found[1]](value, float(found[2]))


def effective(config: Any, index: int) -> Any:
    """Return the config in force in phase ``index``, without its list of phases.

    Raises:
        UserError: a phase names an unknown setting or an invalid value.
    """
    settings = Settings()
    plain = {**config.model_dump(mode="json"), "phases": []}
    add_mapping(settings, type(config), plain, "recipe")
    for phase in config.phases[: index + 1]:
        for path in phase.settings:
            whole = ".".join(resolve(type(config), path, f"phase {phase.name}"))
            if whole.startswith(WHOLE_RUN):
                raise UserError(f"phase {phase.name}: {whole} cannot change within a run; set it in the recipe.")
        words = [f"{path}={json.dumps(value)}" for path, value in phase.settings.items()]
        try:
            add_overrides(settings, type(config), words)
        except UserError as error:
            raise UserError(f"phase {phase.name}: {str(error).removeprefix('override ')}") from None
    return validate(settings, type(config))


class PhaseSchedule:
    """The position of a run among its phases, and the readings of the current gate; checkpoints store all of it.

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
        """The current phase."""
        return self.phases[self.index]

    def config(self) -> Any:
        """Return the config of the current phase."""
        return effective(self.base, self.index)

    @property
    def total(self) -> int:
        """Steps that the run has if every phase from here on uses up its budget."""
        return self.started + sum(phase.steps for phase in self.phases[self.index :])

    def read(self, signals: Mapping[str, float]) -> bool:
        """Add a row of signals; return whether ``metric`` is the best of this phase so far."""
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
        """Return the reason why the phase ends at this step, or None; also None once the last phase has ended."""
        if self.over:
            return None
        phase = self.phase
        missing = self._missing(phase.reach, self.seen)
        flat = phase.plateau is None or self.waited >= phase.plateau
        if (phase.reach or phase.plateau is not None) and not missing and flat:
            reported = [f"{n} {self.latest[n]:.4g} {c}" for n, c in phase.reach.items()]
            if phase.plateau is not None:
                reported.append(f"{phase.metric} has not improved for {self.waited} readings")
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
        """Move to the next phase whose conditions (``needs``) are met.

        Returns:
            (name, what was missing) of each phase that was skipped. ``over`` is True if none is left.
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
        """Return plain values for a checkpoint."""
        return {name: getattr(self, name) for name in ("index", "started", "latest", "seen", "best", "waited", "over")}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state` returned; if the recipe has fewer phases now, the run is over."""
        for name, value in state.items():
            name = {"begun": "started", "heard": "seen"}.get(name, name)  # as 0.1.0 wrote them
            setattr(self, name, dict(value) if name == "latest" else value)
        if self.index >= len(self.phases):
            self.index, self.over = len(self.phases) - 1, True

"""A controller as a callback: after every step it reads the losses and sets factors for the next step."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainwright.engine.callbacks.base import Callback, Rebuilt, Record, Requests, SetFactors
from trainwright.engine.controllers import Controller, make

if TYPE_CHECKING:
    from trainwright.engine.state import TrainingView


class ControllerCallback(Callback):
    """Runs the controller that the recipe selects; every process takes the same decisions."""

    name = "controller"
    every_process = True
    purpose = "controller"

    def __init__(self, controller: Controller | None) -> None:
        self.controller = controller
        self.latest: dict[str, float] = {}  # newest values of the signals in its roles

    def on_step_end(self, view: "TrainingView") -> Requests:
        """Let the controller act on the losses of the step."""
        if self.controller is None:
            return None
        names = self.controller.roles.values()
        self.latest |= {name: view.signals[name] for name in names if name in view.signals}
        return [
            Record(self.controller.act(self.latest, view.step - 1), epoch=True),
            SetFactors(self.controller.factors),
        ]

    def on_log(self, view: "TrainingView", row: Mapping[str, float]) -> Requests:
        """Take the quality signal from the row, because it is measured on held-out data and not by an update."""
        name = self.controller.roles.get("quality", "") if self.controller is not None else ""
        if name in row:
            self.latest[name] = row[name]
        return None

    def on_rebuild(self, view: "TrainingView", rebuilt: Rebuilt) -> Requests:
        """Continue with the settings of the new phase.

        Factors on loss weights are reset, because other weights are in force.
        """
        before, config = self.controller, view.config
        self.controller = make(config.controller, dict(view.model.roles), tuple(view.model.groups), config.train.seed)
        if before is None or self.controller is None:
            self.latest = {}
            return None
        self.controller.restore(before.state())
        self.controller.reset_weight_factors()
        return SetFactors(self.controller.factors)

    def on_resume(self, view: "TrainingView") -> Requests:
        """Apply the restored factors again."""
        return SetFactors(self.controller.factors) if self.controller is not None else None

    def state_dict(self) -> dict[str, Any]:
        """Return the controller's state and the losses that it read last."""
        return {**self.controller.state(), "latest": self.latest} if self.controller is not None else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore both, unless another kind of controller saved them."""
        if self.controller is not None:
            self.controller.restore(state)
            self.latest = dict(state["latest"])

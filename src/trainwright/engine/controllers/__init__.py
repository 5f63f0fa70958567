"""Controllers change learning rates, momenta and loss weights from step to step from the losses; off by default."""

from trainwright.engine.controllers.base import Controller
from trainwright.engine.controllers.loss_gate import LossGate
from trainwright.engine.controllers.q_learning import QLearningController
from trainwright.engine.controllers.random_actions import RandomController
from trainwright.engine.controllers.settings import ControllerSettings
from trainwright.errors import UserError

KINDS: dict[str, type[Controller]] = {"q": QLearningController, "random": RandomController, "balance": LossGate}


def make(settings: ControllerSettings, roles: dict[str, str], groups: tuple[str, ...], seed: int) -> Controller | None:
    """Return the controller that the settings name, or None if it is switched off.

    Raises:
        UserError: a loss gate where no discriminator is trained with cross-entropy.
    """
    if not settings.enabled:
        return None
    if settings.kind == "balance" and "d_real" not in roles:
        raise UserError(
            "controller.kind=balance needs a discriminator trained with cross-entropy, and this model has none. Use q or random."
        )
    return KINDS[settings.kind](settings, roles, groups, seed)

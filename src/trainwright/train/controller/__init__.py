"""Controllers: what changes rates, momenta and weights from step to step by looking at the losses. Off unless a recipe asks for one."""

from trainwright.train.controller.balance import Balance
from trainwright.train.controller.base import Controller
from trainwright.train.controller.chance import Chance
from trainwright.train.controller.learned import Learned
from trainwright.train.controller.settings import ControllerSettings

KINDS: dict[str, type[Controller]] = {"q": Learned, "random": Chance, "balance": Balance}


def make(settings: ControllerSettings, roles: dict[str, str], groups: tuple[str, ...], seed: int) -> Controller | None:
    """The controller that the settings name, or None if it is switched off."""
    return KINDS[settings.kind](settings, roles, groups, seed) if settings.enabled else None

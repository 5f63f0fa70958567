"""Trainwright trains generative models on small data and keeps the training from going wrong.

Example::

    import trainwright as tw

    config = tw.Config.from_recipe("wgan_gp/small", data="my_images/", lr_g=1e-4)
    run = tw.train(config, run_dir="runs/first")
    print(tw.diagnose(run))
    images = tw.load(run).sample(64, seed=0)

Every public name is imported when it is first used, so that ``import trainwright`` takes no time.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainwright.api import check as check
    from trainwright.api import compare as compare
    from trainwright.api import diagnose as diagnose
    from trainwright.api import evaluate as evaluate
    from trainwright.api import load as load
    from trainwright.api import recipes as recipes
    from trainwright.api import train as train
    from trainwright.api import treat as treat
    from trainwright.catalog import Recipe as Recipe
    from trainwright.diagnosis.checks import Check as Check
    from trainwright.diagnosis.watch import watch as watch
    from trainwright.engine.callbacks.base import Callback as Callback
    from trainwright.engine.callbacks.base import Event as Event
    from trainwright.engine.callbacks.base import Note as Note
    from trainwright.engine.callbacks.base import Record as Record
    from trainwright.engine.callbacks.base import Rollback as Rollback
    from trainwright.engine.callbacks.base import Save as Save
    from trainwright.engine.callbacks.base import Stop as Stop
    from trainwright.errors import UserError as UserError
    from trainwright.objects import Comparison as Comparison
    from trainwright.objects import Config as Config
    from trainwright.objects import Evaluation as Evaluation
    from trainwright.objects import Model as Model
    from trainwright.objects import Run as Run
    from trainwright.objects import Study as Study
    from trainwright.results import Cause as Cause
    from trainwright.results import Diagnosis as Diagnosis
    from trainwright.results import Finding as Finding
    from trainwright.results import Remedy as Remedy

__version__ = "0.1.0"

__all__ = [
    "Callback",
    "Cause",
    "Check",
    "Comparison",
    "Config",
    "Diagnosis",
    "Evaluation",
    "Event",
    "Finding",
    "Model",
    "Note",
    "Recipe",
    "Record",
    "Remedy",
    "Rollback",
    "Run",
    "Save",
    "Stop",
    "Study",
    "UserError",
    "__version__",
    "check",
    "compare",
    "diagnose",
    "evaluate",
    "load",
    "recipes",
    "train",
    "treat",
    "watch",
]

_MODULES = {
    "api": ("check", "compare", "diagnose", "evaluate", "load", "recipes", "train", "treat"),
    "catalog": ("Recipe",),
    "diagnosis.checks": ("Check",),
    "diagnosis.watch": ("watch",),
    "engine.callbacks.base": ("Callback", "Event", "Note", "Record", "Rollback", "Save", "Stop"),
    "errors": ("UserError",),
    "objects": ("Comparison", "Config", "Evaluation", "Model", "Run", "Study"),
    "results": ("Cause", "Diagnosis", "Finding", "Remedy"),
}
_HOME = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'trainwright' has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        from trainwright.errors import missing_package

        said = missing_package(error)
        if said is None:
            raise
        raise ModuleNotFoundError(f"trainwright.{name}: {said}", name=error.name) from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, for tab completion."""
    return sorted(__all__)

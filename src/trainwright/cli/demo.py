"""``trainwright demo``: treat a recipe that goes wrong by itself, in a few minutes on two cores."""

from pathlib import Path
from typing import Annotated

import typer

from trainwright.cli.treat import conclude
from trainwright.cli.words import config_of

RECIPE = "wgan_gp/demo"


def register(app: typer.Typer, group: str) -> None:
    """Add the verb."""
    app.command(rich_help_panel=group)(demo)


def demo(root: Annotated[Path, typer.Option(help="Folder for the study.")] = Path("studies")) -> None:
    """Train a WGAN-GP on 949 CC0 sprites with a wrong learning rate; detect it, change one thing, judge the result."""
    from trainwright import api

    config = config_of(RECIPE, None)
    print(f"{config.recipe}: {config.hypothesis}", flush=True)
    conclude(api.treat(config, budget=3600.0, attempts=4, study_dir=root / "demo"))

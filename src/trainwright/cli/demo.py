"""``trainwright demo``: a recipe that goes wrong by itself is treated, in a few minutes on two cores."""

from pathlib import Path
from typing import Annotated

import typer

from trainwright import catalog as registry
from trainwright.cli.treat import carry_out

RECIPE = "wgan_gp/demo"


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(demo)


def demo(root: Annotated[Path, typer.Option(help="Folder for the study.")] = Path("studies")) -> None:
    """Train a WGAN-GP on the 949 CC0 sprites that come with the package, with a rate that is wrong; notice, change one thing, judge."""
    family, config = registry.load(RECIPE)
    print(f"{config.recipe}: {config.hypothesis}", flush=True)
    carry_out(family, config, root / "demo", budget=3600.0, attempts=4)

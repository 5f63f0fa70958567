"""``trainwright demo``: a WGAN-GP on the packaged sprites, in a few minutes on two cores."""

from pathlib import Path
from typing import Annotated

import typer

from trainwright import registry
from trainwright.cli.train import conclude, run_training

RECIPE = "wgan_gp/tiny"


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(demo)


def demo(root: Annotated[Path, typer.Option(help="Folder for the run.")] = Path("runs")) -> None:
    """Train a small WGAN-GP on the 949 CC0 sprites that come with the package, and show what came of it."""
    family, config = registry.load(RECIPE)
    conclude(run_training(family, config, root / "demo"))

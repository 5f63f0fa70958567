"""``trainwright export RUN FOLDER``: a trained model in a form that other programs load."""

from pathlib import Path
from typing import Annotated

import typer

from trainwright.cli.words import Best, Raw, weights_of


def register(app: typer.Typer, group: str) -> None:
    """Add the verb."""
    app.command(rich_help_panel=group)(export)


def export(
    run: Annotated[Path, typer.Argument(help="Run folder of a latent diffusion model.")],
    folder: Annotated[Path, typer.Argument(help="New folder for the exported model.")],
    raw: Raw = False,
    best: Best = False,
) -> None:
    """Write a latent diffusion model as a folder that Hugging Face diffusers loads; other families have no such form."""
    from trainwright import api

    model = api.load(run, weights_of(raw, best))
    how = model.export(folder)
    print(f"exported step {model.step}: {folder.expanduser().resolve()}")
    print(how)

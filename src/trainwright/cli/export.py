"""``trainwright export RUN FOLDER``: a trained model without its training state."""

from pathlib import Path
from typing import Annotated

import typer

from trainwright.cli.words import Best, Raw, weights_of


def register(app: typer.Typer, group: str) -> None:
    """Add the verb."""
    app.command(rich_help_panel=group)(export)


def export(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    folder: Annotated[Path, typer.Argument(help="New folder for the exported model.")],
    raw: Raw = False,
    best: Best = False,
) -> None:
    """Write a trained model into a new folder: for diffusers if it is a latent diffusion model, else for `trainwright sample`."""
    from trainwright import api

    model = api.load(run, weights_of(raw, best))
    how = model.export(folder)
    print(f"exported step {model.step}: {folder.expanduser().resolve()}")
    print(how)

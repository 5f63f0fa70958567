"""``trainwright export RUN FOLDER``: a trained model in a form that other programs load."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(export)


def export(
    run: Annotated[Path, typer.Argument(help="Run folder of a latent diffusion model.")],
    folder: Annotated[Path, typer.Argument(help="New folder for the exported model.")],
    raw: Annotated[bool, typer.Option("--raw", help="Use the last weights instead of their average (EMA).")] = False,
    best: Annotated[bool, typer.Option("--best", help="Use the checkpoint with the best held-out objective.")] = False,
) -> None:
    """Write a trained model as a folder that Hugging Face diffusers loads."""
    from safetensors import SafetensorError

    from trainwright import catalog as registry
    from trainwright.engine.inference import load
    from trainwright.errors import UserError
    from trainwright.files import atomic_folder
    from trainwright.runs.folder import open_run

    opened, folder = open_run(run), folder.expanduser().resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there already; give the name of a new folder.")
    trained = load(registry.family(opened.read()["family"], str(run)), opened, best)
    try:
        with atomic_folder(folder) as temporary:
            how = trained.model.export(temporary, averaged=not raw)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"{folder} cannot be written: {reason.lower()}.") from None
    print(f"exported step {trained.step}: {folder}")
    print(how.format(folder=str(folder)))

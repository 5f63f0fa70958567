"""``trainwright notebook DIR``: the page of a study."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(notebook)


def notebook(
    folder: Annotated[Path, typer.Argument(help="A study: what `treat`, `plan run` or `search` made.")],
) -> None:
    """Write a study's notebook again: one HTML page that needs no network."""
    from trainwright.report.study_page import build_notebook

    print(build_notebook(folder))

"""``trainwright report PATH``: one page about a run or a study."""

from pathlib import Path
from typing import Annotated

import typer

from trainwright.errors import UserError

Place = Annotated[Path, typer.Argument(help="A run, or a study that `treat`, `plan run` or `search` made.")]


def register(app: typer.Typer, group: str) -> None:
    """Add the verb, and its former name for studies as a hidden one."""
    app.command(rich_help_panel=group)(report)
    app.command("notebook", hidden=True)(report)


def report(path: Place) -> None:
    """Write one offline page: of a run its samples, curves, evaluation, events and settings; of a study its experiments."""
    from trainwright.objects import Run, Study

    if (path / "study.json").exists():
        print(Study(path).report())
    elif path.is_dir() and not (path / "run.json").exists():
        raise UserError(f"{path} is neither a run nor a study: it has no run.json and no study.json.")
    else:
        print(Run(path).report())

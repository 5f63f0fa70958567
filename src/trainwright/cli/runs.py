"""``trainwright runs``: every run under a folder, newest first."""

import json
from pathlib import Path
from typing import Annotated

import typer

from trainwright.cli.tables import print_table
from trainwright.cli.words import Json


def register(app: typer.Typer, group: str) -> None:
    """Add the verb."""
    app.command(rich_help_panel=group)(runs)


def runs(
    root: Annotated[Path, typer.Option(help="Folder that holds the runs.")] = Path("runs"), as_json: Json = False
) -> None:
    """List runs with their status, verdict and progress."""
    from trainwright.runs.index import list_runs

    rows = list_runs(root)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    if not rows:
        print(f"no runs in {root}; start one with: trainwright train wgan_gp/tiny")
        return
    heads = ("run", "recipe", "status", "verdict", "step", "created")
    cells = [(r["name"], r["recipe"], r["status"], r["verdict"], _progress(r), r["created"]) for r in rows]
    print_table(heads, [[str(value or "") for value in line] for line in cells])


def _progress(row: dict[str, object]) -> str:
    return f"{row['step']}/{row['steps']}" if row["step"] is not None else ""

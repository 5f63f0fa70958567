"""``trainwright runs``: every run under a folder, newest first."""

import json
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(runs)


def runs(
    root: Annotated[Path, typer.Option(help="Folder that holds the runs.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List runs with their status, verdict and progress."""
    from trainwright.runs.index import list_runs

    rows = list_runs(root)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    if not rows:
        print(f"no runs in {root}; begin one with: trainwright train wgan_gp/tiny")
        return
    heads = ("run", "recipe", "status", "verdict", "step", "created")
    lines = [heads, *((r["name"], r["recipe"], r["status"], r["verdict"], _progress(r), r["created"]) for r in rows)]
    widths = [max(len(str(line[i] or "")) for line in lines) for i in range(len(heads))]
    print("\n".join("  ".join(f"{v or '':<{w}}" for v, w in zip(line, widths, strict=True)).rstrip() for line in lines))


def _progress(row: dict[str, object]) -> str:
    return f"{row['step']}/{row['steps']}" if row["step"] is not None else ""

"""``trainwright table RUN ...``: the experiment table of several runs."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(table)


def table(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, a row each.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what happened in each run, one row a run, as a Markdown table: the guide's "what happened" from the signals."""
    import json

    from trainwright.report.run_table import markdown, rows_of
    from trainwright.runs.folder import open_run

    rows = rows_of([open_run(run) for run in runs])
    print(json.dumps(rows, indent=2) if as_json else markdown(rows), end="\n" if as_json else "")

"""``trainwright report RUN``: one page about a run."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(report)


def report(run: Annotated[Path, typer.Argument(help="Run folder.")]) -> None:
    """Write report.html: status, samples through time, curves, evaluation, events and settings on one offline page."""
    from trainwright.report.run_page import build_report
    from trainwright.runs.folder import open_run

    print(build_report(open_run(run)))

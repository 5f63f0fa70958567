"""``trainwright train RECIPE [key=value ...]``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from trainwright.cli.words import Overrides, Recipe, config_of
from trainwright.objects import Run
from trainwright.progress import is_helper
from trainwright.runs.naming import run_folder

CRASHED, SICK, INTERRUPTED = 3, 11, 130
EPILOG = """Overrides are key=value in any order; a leaf name is enough where it is unique: lr_g=1e-5 n_critic=3 data=images/.
Run the same command again to resume. Ctrl-C saves a checkpoint first. Exit codes: 0 finished, 3 crashed on a value that
is not finite, 11 stopped by the doctor or a callback, 2 bad input, 130 interrupted."""


def register(app: typer.Typer, group: str) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG, rich_help_panel=group)(train)


def train(
    recipe: Recipe,
    overrides: Overrides = None,
    run: Annotated[
        Path | None, typer.Option(help="Run folder; by default named after the recipe and the overrides.")
    ] = None,
    root: Annotated[Path, typer.Option(help="Folder in which runs are named.")] = Path("runs"),
    new: Annotated[bool, typer.Option("--new", help="Start a new run even if this command has one already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved config and stop.")] = False,
) -> None:
    """Train a recipe, or resume its training."""
    config = config_of(recipe, overrides)
    if dry_run:
        print(config.to_yaml(), end="")
        return
    from trainwright import api

    conclude(api.train(config, run or run_folder(root, recipe, overrides or (), new)))


def conclude(run: Run) -> None:
    """Print how a training ended and what to do next; exit with the code that fits."""
    if is_helper():
        return
    if run.status == "crashed":
        print(
            f"trainwright: training crashed. {run.reason}. The checkpoint before it is kept; the same command tries "
            "again from there. Lower the learning rate, or add on_nonfinite=rollback.",
            file=sys.stderr,
        )
        raise typer.Exit(CRASHED)
    page = run.report()
    if run.status == "stopped":
        print(
            f"trainwright: stopped at step {run.step} with a checkpoint. {run.reason} "
            f"`trainwright doctor {run.path}` says why; on_failure=continue trains on regardless.",
            file=sys.stderr,
        )
        print(f"report: {page}")
        raise typer.Exit(SICK)
    if run.status == "interrupted":
        print(f"stopped at step {run.step} with a checkpoint; run the same command to resume")
        print(f"report: {page}")
        raise typer.Exit(INTERRUPTED)
    print(f"finished at step {run.step}")
    print(f"samples: {newest(run.path / 'samples')}")
    print(f"report:  {page}")


def newest(folder: Path) -> Path:
    """Return the last file of a folder by name, or the folder if it is empty."""
    return max(folder.glob("*.png"), default=folder)

"""``trainwright treat RECIPE [key=value ...]``: train, detect failures, change one thing, judge, keep or revert."""

from pathlib import Path
from typing import Annotated

import typer

from trainwright.cli.study import Address, Folder, Kind, Root, Workers
from trainwright.cli.train import newest
from trainwright.cli.words import Overrides, Recipe, config_of
from trainwright.objects import Study
from trainwright.runs.naming import run_folder

SICK = 11
EPILOG = """Overrides are key=value as in `trainwright train`. The same command continues. Exit codes: 0 the run is healthy,
11 it is not when remedies or budget are used up, 2 bad input, 130 interrupted."""


def register(app: typer.Typer, group: str) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG, rich_help_panel=group)(treat)


def treat(
    recipe: Recipe,
    overrides: Overrides = None,
    budget: Annotated[str, typer.Option(help="Training time of all runs together, such as 30m or 2h.")] = "2h",
    attempts: Annotated[int, typer.Option(help="Remedies that are tried at most.", min=0)] = 8,
    study: Folder = None,
    root: Root = Path("studies"),
    workers: Workers = 1,
    executor: Kind = "processes",
    address: Address = "auto",
) -> None:
    """Train a recipe; where the doctor finds a failure, try remedies one at a time until the run is healthy."""
    from trainwright import api

    config = config_of(recipe, overrides)
    folder = study or run_folder(root, f"treat-{recipe}", overrides or (), new=False)
    conclude(api.treat(config, budget, attempts, folder, workers=workers, executor=executor, address=address))


def conclude(study: Study) -> None:
    """Print what came of a treatment; exit with the code that fits."""
    best = study.best_run
    print(f"\n{study.headline}")
    for row in study.table:
        if row["outcome"] in ("kept", "reverted") and row["change"]:
            change = ", ".join(f"{key}={value}" for key, value in row["change"].items())
            print(f"  {row['outcome']:8} {change}  ({row['because']})")
    print(f"best run: {best.path} ({best.verdict}: {best.reason})")
    print(f"samples:  {newest(best.path / 'samples')}")
    print(f"report:   {best.report()}")
    print(f"notebook: {study.path / 'notebook.html'}")
    raise typer.Exit(0 if study.recovered else SICK)

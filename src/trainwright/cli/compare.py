"""``trainwright compare RUN RUN ...``: what happened, what differs, and how much of it is more than chance."""

import json
from pathlib import Path
from typing import Annotated

import typer

from trainwright.cli.tables import print_table
from trainwright.cli.words import Json

EPILOG = "Runs that differ only in their seed are one group; over two or more seeds an effect has an interval."
Runs = Annotated[list[Path], typer.Argument(help="Two or more run folders.")]


def register(app: typer.Typer, group: str) -> None:
    """Add the verb, and its former part ``table`` as a hidden one."""
    app.command(epilog=EPILOG, rich_help_panel=group)(compare)
    app.command(hidden=True)(table)


def compare(
    runs: Runs, out: Annotated[Path, typer.Option(help="The page.")] = Path("compare.html"), as_json: Json = False
) -> None:
    """Compare runs: a table of what happened, config, data, code, effect on quality; curves and samples on a page."""
    from trainwright import api
    from trainwright.report.run_table import markdown

    found = api.compare(runs)
    if as_json:
        print(json.dumps(found.as_dict(), indent=2))
        return
    print(f"{found.headline}\n\n{markdown(found.rows)}")
    print_table(["differs", *found.groups], [[what, *values] for what, values in found.differences])
    effects = [[name, signal, text] for name, seen in found.effects.items() for signal, text in seen.items()]
    if effects:
        print()
        print_table(["group", "signal", f"compared with {found.groups[0]}"], effects)
    print(f"\npage: {found.save(out)}")


def table(runs: Annotated[list[Path], typer.Argument(help="Run folders, a row each.")], as_json: Json = False) -> None:
    """Print what happened in each run as a Markdown table (a part of `compare`)."""
    from trainwright import api
    from trainwright.report.run_table import markdown

    rows = api.experiment_table(runs)
    print(json.dumps(rows, indent=2) if as_json else markdown(rows), end="\n" if as_json else "")

"""``trainwright compare RUN RUN ...``: what differs, and how much of it is more than chance."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command(
        epilog="Runs that differ in their seed only are taken together; over two or more seeds an effect has an interval."
    )(compare)


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two or more run folders.")],
    out: Annotated[Path, typer.Option(help="The page.")] = Path("compare.html"),
) -> None:
    """Compare runs: config, data, code, effect on quality, curves and samples side by side."""
    from trainwright.errors import UserError
    from trainwright.report.compare import build_comparison, headline
    from trainwright.report.compare import compare as compare_runs
    from trainwright.runs.folder import open_run

    if len(runs) < 2:
        raise UserError("compare needs two or more runs.")
    found = compare_runs([open_run(path) for path in runs])
    print(headline(found))
    for label, values in found.differences:
        print(f"  {label:32} " + "  |  ".join(values))
    for name, effects in found.effects.items():
        for signal, seen in effects.items():
            print(f"  {name}: {signal} {seen}")
    print(f"page: {build_comparison(found, out)}")

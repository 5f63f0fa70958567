"""``trainwright resume RUN [key=value ...]``: continue a run, with changed settings if any are given."""

from typing import Annotated

import typer

from trainwright.cli.train import conclude
from trainwright.cli.words import RunFolder
from trainwright.objects import Config

EPILOG = """Exit codes: 0 finished, 3 crashed on a value that is not finite, 11 stopped by the doctor or a callback,
2 bad input, 130 interrupted."""


def register(app: typer.Typer, group: str) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG, rich_help_panel=group)(resume)


def resume(
    run: RunFolder,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value; takes effect at once, e.g. lr_g=1e-5.")
    ] = None,
) -> None:
    """Continue a run. Rates, weights and lengths can change; what needs a restart is refused with the difference."""
    from trainwright import api, catalog
    from trainwright.runs.folder import open_run

    opened = open_run(run)
    family = catalog.family(opened.read()["family"], str(run))
    config = Config(catalog.read_config(family, opened.config, overrides or ()))
    conclude(api.train(config, opened.folder))

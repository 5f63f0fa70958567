"""``trainwright resume RUN [key=value ...]``: goes on with a run, with changed settings if any are given."""

from pathlib import Path
from typing import Annotated

import typer

from trainwright import catalog as registry
from trainwright.cli.train import conclude, run_training


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(resume)


def resume(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value; takes effect at once, e.g. lr_g=1e-5.")
    ] = None,
) -> None:
    """Go on with a run. Rates, weights and lengths can change; what needs a restart is refused with the difference."""
    from trainwright.config.reading import Settings, add_mapping, add_overrides, read_yaml, validate
    from trainwright.runs.folder import open_run

    opened = open_run(run)
    family = registry.family(opened.read()["family"], str(run))
    settings = Settings()
    add_mapping(settings, family.config, read_yaml(opened.config), str(opened.config))
    add_overrides(settings, family.config, overrides or ())
    conclude(run_training(family, validate(settings, family.config), opened.folder))

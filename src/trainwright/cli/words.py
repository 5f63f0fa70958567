"""Arguments and options that several verbs share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainwright.errors import UserError

if TYPE_CHECKING:
    from trainwright.objects import Config, Weights

Recipe = Annotated[str, typer.Argument(help="FAMILY/RECIPE (see `trainwright recipes`) or a YAML file.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value in any order, such as data=images/ lr_g=1e-5.")]
RunFolder = Annotated[Path, typer.Argument(help="Run folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON; its schema is trainwright/schemas.py.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same samples.")]
Raw = Annotated[bool, typer.Option("--raw", help="Use the last weights instead of their average (EMA).")]
Best = Annotated[bool, typer.Option("--best", help="Use the checkpoint with the best validation objective.")]


def config_of(recipe: str, overrides: list[str] | None) -> "Config":
    """Return the config of a recipe with ``key=value`` words."""
    from trainwright import catalog  # pydantic and numpy: half of the time that a listing takes
    from trainwright.objects import Config

    return Config(catalog.load(recipe, overrides or ())[1])


def weights_of(raw: bool, best: bool) -> "Weights":
    """Return the weights that two options name.

    Raises:
        UserError: both are given.
    """
    if raw and best:
        raise UserError("--raw and --best exclude each other.")
    return "raw" if raw else "best" if best else "ema"

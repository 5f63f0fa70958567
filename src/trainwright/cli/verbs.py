"""The verbs of the command line, put together with typer; each stands in a small file over :mod:`trainwright.api`."""

import importlib
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from trainwright import __version__
from trainwright.cli import GROUPS


class Verbs(TyperGroup):
    """The verbs. An interruption is printed with its advice; click would replace it by an exit code without a word."""

    def invoke(self, ctx: Any) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interruption:
            print(f"trainwright: {interruption or 'interrupted'}", file=sys.stderr)
            raise typer.Exit(130) from None


def _version(wanted: bool) -> None:
    if wanted:
        print(f"trainwright {__version__}")
        raise typer.Exit


def trainwright(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train generative models on small data, and keep the training from going wrong."""


def build(only: str | None = None) -> typer.Typer:
    """Return the application with all verbs, or with one of them: the modules of the others are not imported then."""
    made = typer.Typer(
        cls=Verbs,
        name="trainwright",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
    made.callback()(trainwright)
    for group, verbs in GROUPS.items():
        for verb in verbs if only is None else [v for v in verbs if v == only]:
            importlib.import_module(f"trainwright.cli.{verb}").register(made, group)
    return made

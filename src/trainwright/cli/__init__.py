"""The ``trainwright`` command: one small file for each verb, over :mod:`trainwright.api`. Nothing heavy is imported early."""

import sys
from types import ModuleType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from trainwright import __version__
from trainwright.cli import (
    check,
    compare,
    data,
    demo,
    doctor,
    evaluate,
    explain,
    export,
    plan,
    recipes,
    report,
    resume,
    runs,
    sample,
    search,
    train,
    treat,
)
from trainwright.errors import UserError
from trainwright.shims import leave_the_compiler_out


class Verbs(TyperGroup):
    """The verbs. An interruption is printed with its advice; click would replace it by an exit code without a word."""

    def invoke(self, ctx: Any) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interruption:
            print(f"trainwright: {interruption or 'interrupted'}", file=sys.stderr)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Verbs,
    name="trainwright",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
GROUPS: dict[str, tuple[ModuleType, ...]] = {
    "Train": (demo, train, resume, treat, check),
    "Understand": (doctor, explain, evaluate, report, compare),
    "Experiment": (plan, search, recipes, runs),
    "Share": (sample, export, data),
}
for group, verbs in GROUPS.items():
    for verb in verbs:
        verb.register(app, group)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"trainwright {__version__}")
        raise typer.Exit


@app.callback()
def trainwright(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train generative models on small data, and keep the training from going wrong."""


def main() -> None:
    """Run a command line. Exit codes: 0 done, 2 an error that the user can fix, 3 training crashed, 130 interrupted."""
    leave_the_compiler_out()
    try:
        app()
    except UserError as error:
        print(f"trainwright: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:  # before a verb starts
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)

"""The ``trainwright`` command: one small file for each verb. Nothing heavy is imported before a verb needs it."""

import sys

import typer

from trainwright.cli import (
    check,
    compare,
    data,
    demo,
    doctor,
    evaluate,
    explain,
    export,
    notebook,
    plan,
    recipes,
    report,
    resume,
    runs,
    sample,
    search,
    table,
    train,
    treat,
)
from trainwright.errors import UserError
from trainwright.shims import leave_the_compiler_out

app = typer.Typer(
    name="trainwright",
    help="Trains generative models on small data and keeps the training from going wrong.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
VERBS = (
    demo, data, check, train, treat, plan, search, resume, doctor, explain, sample, export, evaluate, report, notebook, compare, table,
    recipes, runs,
)  # fmt: skip
for verb in VERBS:
    verb.register(app)


def main() -> None:
    """Runs a command line. Exit codes: 0 done, 2 the user's to mend, 3 training crashed, 130 interrupted."""
    leave_the_compiler_out()
    try:
        app()
    except UserError as error:
        print(f"trainwright: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("trainwright: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)

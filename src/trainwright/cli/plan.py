"""``trainwright plan run|check|list``: a ladder of experiments."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trainwright.cli.study import Address, Folder, Kind, Root, Workers, ended
from trainwright.cli.tables import print_table
from trainwright.runs.naming import run_folder
from trainwright.study_runner import StudyOptions, run_study

if TYPE_CHECKING:
    from trainwright.studies.plan import Plan

EPILOG = """A plan is a YAML file (docs/how-to/run-a-plan.md) or one that comes with the package (`trainwright plan list`).
The same command continues it, after a crash too. Exit codes: 0 the plan is over, 2 bad input, 130 interrupted."""

verbs = typer.Typer(
    help="Run a ladder of experiments, each with a hypothesis, conditions and one change.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


def register(app: typer.Typer, group: str) -> None:
    """Add the verb and its own verbs."""
    app.add_typer(verbs, name="plan", rich_help_panel=group)


@verbs.callback()
def plan() -> None:
    """Run a ladder of experiments, each with a hypothesis, conditions and one change."""


@verbs.command("list")
def list_plans() -> None:
    """List the plans that come with the package."""
    from trainwright.config.reading import read_yaml
    from trainwright.studies.plan import shipped

    rows = [[name, str(read_yaml(file).get("title", ""))] for name, file in shipped().items()]
    print_table(["plan", "title"], rows)


@verbs.command("check")
def check(
    file: Annotated[str, typer.Argument(help="A plan's name or YAML file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value for every experiment.")] = None,
) -> None:
    """Read a plan, check all of it, and say what it would do."""
    made = _load(file, overrides)
    seeds = len(made.head.seeds)
    print(f"{made.head.title}: {len(made.experiments)} experiments, {seeds} seeds, recipe {made.head.recipe}")
    for e in made.experiments:
        change = ", ".join(f"{k}={v}" for k, v in e.change.items()) or "as it is"
        parent = f" from {e.entry.parent}" if e.entry.parent else ""
        begin = "" if e.entry.begin == "start" else f", forked ({e.entry.begin})"
        print(f"\n{e.name}{parent}{begin}: {change}\n  {e.entry.hypothesis}")
        if e.when is not None:
            print(f"  only if {e.when.text}")
        print(f"  judged by: {e.expect.text if e.expect is not None else 'a reader'}")


@verbs.command("run", epilog=EPILOG)
def run_plan(
    file: Annotated[str, typer.Argument(help="A plan's name or YAML file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value for every experiment, such as data=x/.")
    ] = None,
    study: Folder = None,
    root: Root = Path("studies"),
    workers: Workers = 1,
    executor: Kind = "processes",
    address: Address = "auto",
) -> None:
    """Run a plan, or continue it."""
    from trainwright import api
    from trainwright.files import write_text
    from trainwright.objects import Config
    from trainwright.studies.plan_runner import PlanRunner
    from trainwright.studies.study import Study
    from trainwright.studies.summary import of_plan

    made = _load(file, overrides)
    folder = Study(study or run_folder(root, f"plan-{file}", overrides or (), new=False))
    text = made.text()
    identity = {
        "title": made.head.title,
        "family": made.family.name,
        "plan": hashlib.sha256(text.encode()).hexdigest(),
        "overrides": sorted(overrides or ()),
    }
    if not folder.exists:
        api.open_data(Config(made.experiments[0].config))  # missing data are an error before anything starts
    folder.open("plan", identity)
    try:
        write_text(folder.folder / "plan.yaml", text)
        runner = PlanRunner(made, folder.runs)
        done = run_study(runner, folder, of_plan, StudyOptions(workers, executor, address))
    finally:
        folder.close()
    table = ended(done, folder.folder)
    print(f"\n{table['headline']}")
    print_table(["experiment", "verdict", "quality", "outcome", "because"], [_cells(row) for row in table["rows"]])
    print(f"notebook: {done.page}")


def _cells(row: dict[str, Any]) -> list[str]:
    score = f"{row['score']:.3f}" if row.get("score") is not None else ""
    return [row["name"], ", ".join(dict.fromkeys(row.get("verdicts", []))), score, row["outcome"], row["because"]]


def _load(file: str, overrides: list[str] | None) -> "Plan":
    from trainwright.studies.plan import load, locate

    return load(locate(file), overrides or ())

"""``trainwright plan run|check|list``: a ladder of experiments."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainwright.cli.naming import run_folder
from trainwright.cli.study import Address, Folder, Kind, Root, Workers, conduct
from trainwright.cli.train import prepared

if TYPE_CHECKING:
    from trainwright.studies.plan import Plan

EPILOG = """A plan is a YAML file (docs/plan.md) or one that comes with the package (`trainwright plan list`). The same command goes on
where it stopped, after a crash too. Exit codes: 0 the plan is over, 2 bad input, 130 interrupted."""

verbs = typer.Typer(
    help="Run a ladder of experiments, each with a hypothesis, conditions and one change.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Adds the verb and its own verbs."""
    app.add_typer(verbs, name="plan")


@verbs.callback()
def plan() -> None:
    """Run a ladder of experiments, each with a hypothesis, conditions and one change."""


@verbs.command("list")
def list_plans() -> None:
    """The plans that come with the package."""
    from trainwright.config.reading import read_yaml
    from trainwright.studies.plan import shipped

    found = shipped()
    width = max(map(len, found))
    for name, file in found.items():
        print(f"{name:{width}}  {read_yaml(file).get('title', '')}")


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
        print(f"  judged by: {e.expect.text if e.expect is not None else 'nobody'}")


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
    """Run a plan, or go on with it."""
    from trainwright.files import write_text
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
        prepared(made.family, made.experiments[0].config)  # data that are not there are told before anything begins
    folder.open("plan", identity)
    try:
        write_text(folder.folder / "plan.yaml", text)
        runner = PlanRunner(made, folder.runs)
        table, page = conduct(runner, folder, of_plan, workers, executor, address)
    finally:
        folder.close()
    print(f"\n{table['headline']}")
    for row in table["rows"]:
        verdicts = ", ".join(dict.fromkeys(row.get("verdicts", [])))
        score = f"{row['score']:.3f}" if row.get("score") is not None else ""
        print(f"  {row['name']:24} {verdicts:10} {score:6} {row['outcome']:13} {row['because']}")
    print(f"notebook: {page}")


def _load(file: str, overrides: list[str] | None) -> "Plan":
    from trainwright.studies.plan import load, locate

    return load(locate(file), overrides or ())

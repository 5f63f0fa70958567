"""``trainwright search SPACE.yaml``: Optuna over a recipe's settings, with the doctor as a pruner."""

import hashlib
from pathlib import Path
from typing import Annotated, Any

import typer

from trainwright.cli.study import Address, Folder, Kind, Root, Workers, ended
from trainwright.cli.tables import print_table
from trainwright.runs.naming import run_folder
from trainwright.study_runner import StudyOptions, run_study

EPILOG = """A sick trial stops early and is recorded as infeasible with its cause, not as a bad number. The same command
continues. docs/how-to/search.md says what stands in the file. Exit codes: 0 the search is over, 2 bad input, 130 interrupted."""


def register(app: typer.Typer, group: str) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG, rich_help_panel=group)(search)


def search(
    file: Annotated[Path, typer.Argument(help="A YAML file with a recipe and the ranges of its settings.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value for every trial, such as data=x/.")] = None,
    study: Folder = None,
    root: Root = Path("studies"),
    workers: Workers = 1,
    executor: Kind = "processes",
    address: Address = "auto",
) -> None:
    """Search a recipe's settings; a sick trial stops early."""
    from trainwright import api
    from trainwright.objects import Config
    from trainwright.studies.search import Search, load, started
    from trainwright.studies.study import Study
    from trainwright.studies.summary import of_search

    head, family, base = load(file, overrides or ())
    folder = Study(study or run_folder(root, f"search-{file}", overrides or (), new=False))
    text = file.read_text(encoding="utf-8")
    identity = {
        "title": head.title,
        "family": family.name,
        "search": hashlib.sha256(text.encode()).hexdigest(),
        "overrides": sorted(overrides or ()),
    }
    if not folder.exists:
        api.open_data(Config(base))  # missing data are an error before anything starts
    folder.open("search", identity)
    try:
        source = Search(head, family, base, folder.runs, started(folder.events()))
        done = run_study(source, folder, of_search, StudyOptions(workers, executor, address))
    finally:
        folder.close()
    table = ended(done, folder.folder)
    print(f"\n{table['headline']}")
    print_table(["trial", "outcome", "settings", "because"], [_cells(row) for row in table["rows"][:20]])
    print(f"notebook: {done.page}")


def _cells(row: dict[str, Any]) -> list[str]:
    change = ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in row["change"].items())
    return [row["name"], row["outcome"], change, row["because"]]

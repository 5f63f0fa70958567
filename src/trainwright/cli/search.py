"""``trainwright search SPACE.yaml``: Optuna over a recipe's settings, with the doctor as a pruner."""

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from trainwright.cli.naming import run_folder
from trainwright.cli.study import Address, Folder, Kind, Root, Workers, conduct
from trainwright.cli.train import prepared

EPILOG = """A sick trial stops early and is recorded as infeasible with its cause, not as a bad number. The same command goes on where
it stopped. docs/plan.md says what stands in the file. Exit codes: 0 the search is over, 2 bad input, 130 interrupted."""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command(epilog=EPILOG)(search)


def search(
    file: Annotated[Path, typer.Argument(help="A YAML file with a recipe and the ranges of its settings.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value for every trial, such as data=x/.")] = None,
    study: Folder = None,
    root: Root = Path("studies"),
    workers: Workers = 1,
    executor: Kind = "processes",
    address: Address = "auto",
) -> None:
    """Search a recipe's settings; what is sick stops early."""
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
        prepared(family, base)  # data that are not there are told before anything begins
    folder.open("search", identity)
    try:
        source = Search(head, family, base, folder.runs, started(folder.events()))
        table, page = conduct(source, folder, of_search, workers, executor, address)
    finally:
        folder.close()
    print(f"\n{table['headline']}")
    for made in table["rows"][:20]:
        change = ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in made["change"].items())
        print(f"  {made['name']} {made['outcome']:10} {change}  ({made['because']})")
    print(f"notebook: {page}")

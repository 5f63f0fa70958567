"""``trainwright treat RECIPE [key=value ...]``: train, notice, change one thing, judge, keep or revert."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainwright import catalog as registry
from trainwright.cli.naming import run_folder
from trainwright.cli.study import Address, Folder, Kind, Root, Workers, conduct, seconds
from trainwright.cli.train import newest, preflight

if TYPE_CHECKING:
    from trainwright.engine.config import RunConfig
    from trainwright.engine.family import Family
    from trainwright.studies.study import Study
    from trainwright.studies.treatment import Attempt, Treatment

SICK = 11
EPILOG = """Overrides are key=value as in `trainwright train`. The same command goes on where it stopped. Exit codes: 0 the run is well,
11 it still is not when remedies or budget are used up, 2 bad input, 130 interrupted."""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command(epilog=EPILOG)(treat)


def treat(
    recipe: Annotated[str, typer.Argument(help="FAMILY/RECIPE (see `trainwright recipes`) or a YAML file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, such as data=images/ lr_g=1e-5.")] = None,
    budget: Annotated[str, typer.Option(help="Training time of all runs together, such as 30m or 2h.")] = "24h",
    attempts: Annotated[int, typer.Option(help="Remedies that are tried at most.", min=0)] = 8,
    study: Folder = None,
    root: Root = Path("studies"),
    workers: Workers = 1,
    executor: Kind = "processes",
    address: Address = "auto",
) -> None:
    """Train a recipe; when the doctor finds it sick, try remedies one at a time until it is well."""
    family, config = registry.load(recipe, overrides or ())
    folder = study or run_folder(root, f"treat-{recipe}", overrides or (), new=False)
    carry_out(family, config, folder, seconds(budget), attempts, workers, executor, address)


def carry_out(
    family: "Family",
    config: "RunConfig",
    folder: Path,
    budget: float,
    attempts: int,
    workers: int = 1,
    executor: str = "processes",
    address: str = "auto",
) -> None:
    """Treats, writes the notebook, says what came of it, and exits with the code that fits."""
    from trainwright.config.base import flatten
    from trainwright.studies.study import Study
    from trainwright.studies.summary import of_treatment
    from trainwright.studies.treatment import Limits, Treatment

    study = Study(folder)
    if not study.exists:
        preflight(family, config)
    breadth = int(study.read().get("breadth", workers)) if study.exists else workers  # it decides what is tried
    title = f"treatment of {config.recipe}"
    study.open("treatment", {"title": title, "family": family.name, "settings": flatten(config), "breadth": breadth})
    try:
        reported = _Told(study)
        treatment = Treatment(
            family, config, study.runs, Limits(attempts, seconds=budget), breadth=breadth, reported=reported
        )
        table, page = conduct(treatment, study, of_treatment, workers, executor, address)
    finally:
        study.close()
    _conclude(treatment, table["headline"], page)


class _Told:
    """Writes each decision once and says it."""

    def __init__(self, study: "Study") -> None:
        self._study = study
        self._known = {e["experiment"] for e in study.events() if e["event"] == "decision"}

    def __call__(self, attempt: "Attempt") -> None:
        name = attempt.job.name
        if name in self._known:
            return
        self._known.add(name)
        remedy = attempt.remedy.name if attempt.remedy else None
        self._study.write("decision", experiment=name, kept=attempt.kept, because=attempt.because, remedy=remedy)
        if attempt.because:
            print(f"  {'kept' if attempt.kept else 'reverted'} {name}: {attempt.because}", flush=True)


def _conclude(treatment: "Treatment", headline: str, page: Path) -> None:
    from trainwright.report.run_page import build_report
    from trainwright.runs.folder import Run

    best = treatment.winner
    assert best.result is not None
    print(f"\n{headline}")
    for attempt in (a for a in treatment.attempts if a.remedy is not None):
        change = ", ".join(f"{k}={v}" for k, v in attempt.job.change.items())
        print(f"  {'kept    ' if attempt.kept else 'reverted'} {change}  ({attempt.because})")
    print(f"best run: {best.job.folder} ({best.result.verdict}: {best.result.reason})")
    print(f"samples:  {newest(Path(best.job.folder) / 'samples')}")
    print(f"report:   {build_report(Run(Path(best.job.folder)))}")
    print(f"notebook: {page}")
    raise typer.Exit(0 if treatment.recovered else SICK)

"""``trainwright doctor RUN_OR_LOG``: what is wrong, why, and since when."""

from pathlib import Path
from typing import Annotated

import typer

from trainwright.cli.words import Json
from trainwright.errors import UserError

EPILOG = """Exit codes: 0 healthy, 10 suspect, 11 sick, 12 crashed, 13 unknown, 2 the input cannot be read. Reads run
folders, folders that trainwright.watch wrote, CSV, JSON and JSONL files, TensorBoard folders and W&B offline runs."""


def register(app: typer.Typer, group: str) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG, rich_help_panel=group)(doctor)


def doctor(
    target: Annotated[Path, typer.Argument(help="A run folder, or a log of another program.")],
    maps: Annotated[
        list[str] | None, typer.Option("--map", help="COLUMN=SIGNAL for a log whose columns are not recognised.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Length of a foreign training that is not over.")] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="A healthy run or log of the same program, to compare with.")
    ] = None,
    chart: Annotated[Path | None, typer.Option("--chart", help="SVG file for the curves of the evidence.")] = None,
    picture: Annotated[Path | None, typer.Option("--picture", "--image", hidden=True)] = None,
    test_causes: Annotated[
        bool,
        typer.Option(
            "--test-causes", help="Decide between causes by short forks of the run (a few hundred steps each)."
        ),
    ] = False,
    experiment: Annotated[bool, typer.Option("--experiment", hidden=True)] = False,
    test_steps: Annotated[int, typer.Option("--test-steps", help="Steps of each fork.", min=20)] = 200,
    experiment_steps: Annotated[int | None, typer.Option("--experiment-steps", hidden=True, min=20)] = None,
    sarif: Annotated[Path | None, typer.Option(help="SARIF file of the findings, for code hosts and editors.")] = None,
    watch: Annotated[
        bool, typer.Option("--follow", help="Go on until Ctrl-C, and speak when something changes.")
    ] = False,
    every_seconds: Annotated[
        float, typer.Option("--every", help="Seconds between looks with --follow.", min=0.1)
    ] = 10.0,
    every: Annotated[
        bool, typer.Option("--all", help="List the symptoms that a log does not show, each with what would tell.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what is wrong with a training run, why, and since when."""
    from trainwright.cli.diagnosis import follow, print_diagnosis
    from trainwright.files import write_json, write_text
    from trainwright.results import diagnose

    columns = _pairs(maps or ())
    if watch:
        raise typer.Exit(follow(lambda: diagnose(target, columns, steps, baseline), target, every_seconds))
    found = diagnose(target, columns, steps, baseline)
    if (test_causes or experiment) and found.alarms:
        _test_causes(target, found.alarms[0].symptom, experiment_steps or test_steps)
        found = diagnose(target)
    place = chart or picture
    svg = found.chart() if place else None
    if svg and place:
        write_text(place, svg)
    if sarif is not None:
        write_json(sarif, found.sarif(str(target)))
    code = print_diagnosis(found, as_json, every)
    if svg and place and not as_json:
        print(f"\nchart: {place}")
    raise typer.Exit(code)


def _test_causes(target: Path, symptom: str, steps: int) -> None:
    """Run the family's tests of the causes of a symptom and print what came of them."""
    from trainwright.catalog import family
    from trainwright.runs.folder import open_run
    from trainwright.studies.cause_tests import ask, changes_anything, choose

    if not (target / "run.json").exists():
        raise UserError("--test-causes needs a run of Trainwright: a log alone cannot be forked.")
    run = open_run(target)
    kind = family(run.read()["family"])
    chosen = [e for e in choose(kind, symptom, None) if changes_anything(kind, run, e)]
    if not chosen:
        print(f"no test is known for the causes of {symptom}")
    run.acquire()
    try:
        for one in chosen:
            print(ask(kind, run, one, steps, lambda text: print(text, flush=True)).sentence(), flush=True)
    finally:
        run.release()


def _pairs(words: list[str] | tuple[str, ...]) -> dict[str, str]:
    found = {}
    for word in words:
        column, equals, signal = word.partition("=")
        if not equals or not column or not signal:
            raise UserError(f"--map {word}: expected COLUMN=SIGNAL, such as loss_D=critic/loss.")
        found[column] = signal
    return found

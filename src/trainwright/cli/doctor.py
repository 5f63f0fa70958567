"""``trainwright doctor RUN_OR_LOG``: what is wrong, why, and since when."""

from pathlib import Path
from typing import Annotated

import typer

EPILOG = """Exit codes: 0 healthy, 10 suspect, 11 sick, 12 crashed, 13 unknown, 2 the input cannot be read. Reads run
folders, folders that trainwright.watch wrote, CSV, JSON and JSONL files, TensorBoard folders and W&B offline runs."""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command(epilog=EPILOG)(doctor)


def doctor(
    target: Annotated[Path, typer.Argument(help="A run folder, or a log of another program.")],
    maps: Annotated[
        list[str] | None, typer.Option("--map", help="COLUMN=SIGNAL for a log whose columns are not recognised.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps that a foreign run was to have, if it is not over.")] = None,
    image: Annotated[Path | None, typer.Option(help="SVG file for the image; a run's own lies in its folder.")] = None,
    experiment: Annotated[
        bool,
        typer.Option(
            "--experiment", help="Decide between causes by short forks of the run (a few hundred steps each)."
        ),
    ] = False,
    experiment_steps: Annotated[int, typer.Option(help="Steps of each fork.", min=20)] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is wrong with a training run, why, and since when."""
    import json

    from trainwright.diagnosis.doctor import EXIT, examine
    from trainwright.diagnosis.input import open_input
    from trainwright.files import write_text
    from trainwright.report.diagnosis import image as draw
    from trainwright.report.diagnosis import text

    source = open_input(target, _pairs(maps or ()), steps)
    found = examine(source.history)
    if experiment and found.alarms:
        _ask(target, found.alarms[0].symptom.name, experiment_steps)
        source = open_input(target, {})
        found = examine(source.history)
    svg = draw(source.history, found)
    place = image or (target / "doctor.svg" if (target / "run.json").exists() else None)
    if svg and place:
        write_text(place, svg)
    if as_json:
        print(json.dumps({"title": source.title, "notes": source.notes, **found.as_dict()}, indent=2))
    else:
        print(text(source.title, found, source.family, source.notes))
        if svg and place:
            print(f"\npicture: {place}")
    raise typer.Exit(EXIT[found.verdict])


def _ask(target: Path, symptom: str, steps: int) -> None:
    """Runs the family's experiments for a symptom and says what came of them."""
    from trainwright.catalog import family
    from trainwright.errors import UserError
    from trainwright.runs.folder import open_run
    from trainwright.studies.cause_tests import ask, changes_anything, choose

    if not (target / "run.json").exists():
        raise UserError("--experiment needs a run of Trainwright: a log alone cannot be forked.")
    run = open_run(target)
    kind = family(run.read()["family"])
    chosen = [e for e in choose(kind, symptom, None) if changes_anything(kind, run, e)]
    if not chosen:
        print(f"no experiment is known for {symptom}")
    run.acquire()
    try:
        for one in chosen:
            print(
                ask(kind, run, one, steps, lambda text: print(text, flush=True)).sentence(),
                flush=True,
            )
    finally:
        run.release()


def _pairs(words: list[str] | tuple[str, ...]) -> dict[str, str]:
    from trainwright.errors import UserError

    found = {}
    for word in words:
        column, equals, signal = word.partition("=")
        if not equals or not column or not signal:
            raise UserError(f"--map {word}: expected COLUMN=SIGNAL, such as loss_D=critic/loss.")
        found[column] = signal
    return found

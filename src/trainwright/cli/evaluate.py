"""``trainwright evaluate RUN``: how good the samples are compared with real images."""

import json
from typing import Annotated

import typer

from trainwright.cli.tables import print_table
from trainwright.cli.words import Best, Json, Raw, RunFolder, Seed, weights_of


def register(app: typer.Typer, group: str) -> None:
    """Add the verb."""
    app.command(rich_help_panel=group)(evaluate)


def evaluate(
    run: RunFolder,
    count: Annotated[int, typer.Option("-n", "--count", min=16, max=100_000, help="Samples to judge.")] = 1000,
    seed: Seed = 0,
    raw: Raw = False,
    best: Best = False,
    as_json: Json = False,
) -> None:
    """Measure KID, precision, recall, density, coverage and distance to training images; write evaluation.json."""
    from trainwright import api

    found = api.evaluate(run, count, weights_of(raw, best), seed)
    if as_json:
        print(json.dumps(found.as_dict(), indent=2))
        return
    print(f"{found.heading}\n")
    print_table(["metric", "value", "real data", "meaning"], found.cells())

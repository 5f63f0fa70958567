"""``trainwright check RECIPE``: what can be known before the first step."""

import json

import typer

from trainwright.cli.words import Json, Overrides, Recipe, config_of

EPILOG = "Exit codes: 0 nothing is wrong, 10 warnings, 11 the run cannot work as it is set up, 2 bad input."


def register(app: typer.Typer, group: str) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG, rich_help_panel=group)(check)


def check(recipe: Recipe, overrides: Overrides = None, as_json: Json = False) -> None:
    """Check a recipe on its data before training: settings, ranges, collapse threshold, a few steps."""
    from trainwright import api

    found = api.check(config_of(recipe, overrides))
    if as_json:
        print(json.dumps([vars(c) for c in found], indent=2))
    else:
        for c in found:
            print(f"{c.grade:4}  {c.message}" + (f"\n      try: {c.fix}" if c.fix else ""))
    grades = {c.grade for c in found}
    raise typer.Exit(11 if "stop" in grades else 10 if "warn" in grades else 0)

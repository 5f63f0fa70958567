"""``trainwright recipes``: every recipe with what to use it for and how long it takes."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from trainwright.cli.tables import print_table
from trainwright.cli.words import Json
from trainwright.schemas import RecipeJson

if TYPE_CHECKING:
    from trainwright.catalog import Recipe


def register(app: typer.Typer, group: str) -> None:
    """Add the verb."""
    app.command(rich_help_panel=group)(recipes)


def recipes(
    family: Annotated[str | None, typer.Argument(help="Of this family only.")] = None,
    all: Annotated[
        bool, typer.Option("--all", help="Also recipes that fail on purpose, and experiments of the tuning guides.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List recipes: what to use each for, and how long it takes."""
    from trainwright import api, catalog

    found = api.recipes(family, all)
    if as_json:
        print(json.dumps([_plain(recipe) for recipe in found], indent=2))
        return
    for name in dict.fromkeys(recipe.family for recipe in found):
        print(f"{name}: {catalog.family(name).summary}")
        rows = [[f"  {r.name}", _length(r.minutes), r.summary or r.hypothesis] for r in found if r.family == name]
        print_table(["  recipe", "two cores", "use it for"], rows)
        print()
    more = (
        "" if all else " `trainwright recipes --all` lists those that fail on purpose or repeat a guide's experiment."
    )
    print(f"Train one with: trainwright train FAMILY/RECIPE data=path/to/images.{more}")


def _plain(recipe: "Recipe") -> RecipeJson:
    return {
        "recipe": recipe.name,
        "family": recipe.family,
        "summary": recipe.summary,
        "minutes": recipe.minutes,
        "hidden": recipe.hidden,
        "hypothesis": recipe.hypothesis,
    }


def _length(minutes: float | None) -> str:
    if minutes is None:
        return "not measured"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"

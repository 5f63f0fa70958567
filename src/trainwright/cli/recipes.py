"""``trainwright recipes``: every recipe with what it is expected to show."""

import json
from typing import Annotated

import typer

from trainwright import catalog as registry


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(recipes)


def recipes(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the families, their recipes and each recipe's hypothesis."""
    known = registry.recipes().values()
    if as_json:
        print(json.dumps([{"recipe": r.title, "hypothesis": r.hypothesis} for r in known], indent=2))
        return
    for name, family in sorted(registry.families().items()):
        print(f"{name}: {family.summary}")
        mine = [r for r in known if r.family == name]
        width = max((len(r.title) for r in mine), default=0)
        for recipe in mine:
            print(f"  {recipe.title:<{width}}  {recipe.hypothesis}")
    print("\nTrain one with: trainwright train FAMILY/RECIPE data=path/to/images")

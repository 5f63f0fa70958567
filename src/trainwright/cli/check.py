"""``trainwright check RECIPE``: what can be known before the first step."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command(
        epilog="Exit codes: 0 nothing is wrong, 10 warnings, 11 the run cannot work as it is set up, 2 bad input."
    )(check)


def check(
    recipe: Annotated[str, typer.Argument(help="FAMILY/RECIPE (see `trainwright recipes`) or a YAML file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, such as data=images/ lr_g=1e-5.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a recipe on its data before training: settings, ranges, collapse threshold, a few steps."""
    import json

    from trainwright import catalog as registry
    from trainwright.cli.train import prepared
    from trainwright.engine.preflight import preflight

    family, config = registry.load(recipe, overrides or ())
    found = preflight(family, config, prepared(family, config))
    if as_json:
        print(json.dumps([vars(c) for c in found], indent=2))
    else:
        for c in found:
            print(f"{c.grade:4}  {c.message}" + (f"\n      try: {c.fix}" if c.fix else ""))
    grades = {c.grade for c in found}
    raise typer.Exit(11 if "stop" in grades else 10 if "warn" in grades else 0)

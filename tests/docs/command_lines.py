"""A command line of the documentation is parsed as the program parses it, without being carried out."""

import re
import shlex
from typing import Any

import typer

from tools import catalog
from trainwright.cli import app
from trainwright.config.base import flatten
from trainwright.config.reading import Settings, add_overrides, validate
from trainwright.diagnosis.causes import causes
from trainwright.diagnosis.symptoms import symptoms
from trainwright.engine.config import RunConfig
from trainwright.engine.family import Family
from trainwright.errors import UserError
from trainwright.studies.plan import shipped

PLACEHOLDER = re.compile(r"^[A-Z][A-Z_/]*$|\.\.\.|^<.*>$")


def parse(line: str) -> None:
    """Check verb, options, arguments, recipe, settings and names of one command.

    Raises:
        UserError: something on it does not exist.
    """
    words = shlex.split(line)
    command = typer.main.get_command(app)
    path: list[str] = []
    if words and words[0] in _flags(command):
        return
    while hasattr(command, "commands"):
        if not words:
            return
        if words[0] in ("--help", *_flags(command)):
            return
        if words[0] not in command.commands:
            raise UserError(f"no verb {' '.join([*path, words[0]])!r}")
        path.append(words[0])
        command = command.commands[words.pop(0)]
    if "--help" in words:
        return
    words = [word for word in words if word not in ("...", "…")]
    try:
        context = command.make_context(path[-1], list(words))
    except Exception as error:
        raise UserError(f"{' '.join(path)}: {getattr(error, 'message', error)}") from error
    _names(" ".join(path), context.params)


def _flags(command: Any) -> set[str]:
    return {o for p in command.params for o in [*p.opts, *p.secondary_opts] if o.startswith("-")}


def _names(verb: str, values: dict[str, Any]) -> None:
    """Check that what the values of arguments name exists."""
    overrides = [w for w in values.get("overrides") or () if not PLACEHOLDER.search(w)]
    stray = [w for w in overrides if "=" not in w]
    if stray:
        raise UserError(f"{verb}: expected key=value, found {stray[0]!r}")
    family = values.get("family")
    if family:
        catalog.family(str(family))
    recipe = values.get("recipe")
    if recipe and not PLACEHOLDER.search(str(recipe)):
        if str(recipe).endswith((".yaml", ".yml")):
            given = next((w.partition("=")[2] for w in overrides if w.startswith("family=")), None)
            _resolve(
                [w for w in overrides if not w.startswith("family=")], [given] if given else list(catalog.families())
            )
        else:
            with_settings(*catalog.load(str(recipe)), overrides)  # without looking for folders that settings name
    elif verb == "resume" or recipe:
        _resolve(overrides, list(catalog.families()))
    if verb.startswith("plan ") and "file" in values:
        file = str(values["file"])
        if not file.endswith((".yaml", ".yml")) and not PLACEHOLDER.search(file) and file not in shipped():
            raise UserError(f"no plan {file!r}")
    name = values.get("name") if verb == "explain" else None
    if name and not PLACEHOLDER.search(str(name)) and name not in {**symptoms(), **causes()}:
        raise UserError(f"no symptom or cause {name!r}")


def with_settings(family: Family, config: RunConfig, overrides: list[str]) -> tuple[Family, RunConfig]:
    """A config with further settings over it, validated."""
    settings = Settings()
    for path, value in flatten(config).items():
        settings.put(tuple(path.split(".")), value, "a page")
    add_overrides(settings, family.config, overrides)
    return family, validate(settings, family.config)


def _resolve(overrides: list[str], families: list[str]) -> None:
    """Settings must exist in one of the families."""
    failures = []
    for name in families:
        try:
            add_overrides(Settings(), catalog.family(name).config, overrides)
            return
        except UserError as error:
            failures.append(str(error))
    raise UserError(failures[0])

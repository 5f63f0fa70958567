"""Families and recipes by name; :mod:`trainwright.plugins` finds the families."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from trainwright import plugins
from trainwright.config.header import RecipeHeader, take_header
from trainwright.config.reading import Settings, add_mapping, add_overrides, add_values, read_yaml, validate
from trainwright.engine.config import RunConfig
from trainwright.engine.family import Family
from trainwright.errors import UserError, nearest
from trainwright.runs.legacy import RECIPES


def families() -> dict[str, Family]:
    """Every family by name, ours and those of other packages."""
    return plugins.families()


def family(name: str, where: str = "family") -> Family:
    """The family of that name; a UserError with the nearest name if there is none."""
    known = families()
    if name not in known:
        raise UserError(f"{where}: no family {name!r}.{nearest(name, known)} Known: {', '.join(sorted(known))}.")
    return known[name]


@dataclass(frozen=True)
class Recipe:
    """A YAML file with differences from its family's defaults.

    Attributes:
        name: as it is typed, such as ``wgan_gp/small``.
        family: the name of its family.
        file: where it is.
    """

    name: str
    family: str
    file: Path

    def __repr__(self) -> str:
        return f"Recipe({self.name!r})"

    @property
    def summary(self) -> str:
        """Its purpose, in one line."""
        return _described(self.file)[0].use_for

    @property
    def minutes(self) -> float | None:
        """About how long a run takes on two cores; None if that was not measured."""
        return _described(self.file)[0].minutes

    @property
    def hidden(self) -> bool:
        """True if it is out of the default list: it fails on purpose, or repeats an experiment of a guide."""
        return _described(self.file)[0].hidden

    @property
    def hypothesis(self) -> str:
        """The expected result of a run."""
        return _described(self.file)[1]


@cache
def _described(file: Path) -> tuple[RecipeHeader, str]:
    mapping = read_yaml(file)
    return take_header(mapping, str(file)), str(mapping.get("hypothesis", ""))


@cache
def recipes() -> dict[str, Recipe]:
    """Every shipped recipe by name, hidden ones included."""
    found = {}
    for name, entry in sorted(families().items()):
        try:
            folder = Path(str(files(entry.home) / "recipes"))
        except Exception as error:
            plugins.report(f"every recipe of the family {name}", error)
            continue
        for file in sorted(folder.glob("*.yaml")):
            recipe = Recipe(f"{name}/{file.stem}", name, file)
            found[recipe.name] = recipe
    return found


def load(
    title: str, overrides: Iterable[str] = (), values: Mapping[str, Any] | None = None
) -> tuple[Family, RunConfig]:
    """Return the family and the validated config of a recipe with overrides.

    Args:
        title: ``family/recipe`` of a shipped one, or the path of a YAML file with a ``family`` key.
        overrides: ``key=value`` words in any order; ``family=NAME`` replaces the key of the file.
        values: the same as Python values; a section may be a mapping.

    Raises:
        UserError: unknown name, unknown key, wrong type or range, with the place and the nearest valid name.
    """
    settings = Settings()
    title = RECIPES.get(title, title)
    overrides = list(overrides)
    given = next((word.partition("=")[2] for word in overrides if word.startswith("family=")), None)
    chosen, name = _collect(title, settings, seen=(), otherwise=given)
    settings.put(("family",), chosen.name, title)
    settings.put(("recipe",), name, title)
    add_overrides(settings, chosen.config, overrides)
    add_values(settings, chosen.config, values or {})
    shipped = tuple(f"{known} (" for known in recipes())
    typed = frozenset(p for p, place in settings.places.items() if place != title and not place.startswith(shipped))
    return chosen, validate(settings, chosen.config).resolved(typed)


def changed(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """Return the config with other values, given by leaf name, alias, dotted path or section.

    Raises:
        UserError: unknown key, wrong type or range, with the nearest valid name.
    """
    schema = type(config)
    settings = Settings()
    settings.values = config.model_dump(mode="json")
    add_values(settings, schema, values)
    made = validate(settings, schema)
    given = frozenset(settings.places)
    if schema.prescribing.isdisjoint(".".join(path) for path in given):
        return made
    return made.resolved(given)


def read_config(family: Family, file: Path, overrides: Iterable[str] = ()) -> RunConfig:
    """Return the config in a run's ``config.yaml``, with overrides as in :func:`load`.

    Raises:
        UserError: the file is damaged; an override is unknown or wrong.
    """
    settings = Settings()
    add_mapping(settings, family.config, read_yaml(file), str(file))
    add_overrides(settings, family.config, overrides)
    return validate(settings, family.config)


def _collect(title: str, settings: Settings, seen: tuple[str, ...], otherwise: str | None = None) -> tuple[Family, str]:
    if title in seen:
        raise UserError(f"{title}: recipes extend each other in a circle: {' -> '.join((*seen, title))}.")
    file = _locate(title)
    title = RECIPES.get(title, title)
    mapping = read_yaml(file)
    label = str(file) if title not in recipes() else f"{title} ({file.name})"
    take_header(mapping, label)
    named = mapping.pop("family", otherwise)
    if not isinstance(named, str):
        raise UserError(
            f"{label}: expected a line 'family: NAME' (or family=NAME after the file); known: {', '.join(sorted(families()))}."
        )
    chosen = family(named, label)
    base = mapping.pop("extends", None)
    if base is not None:
        parent = str(base) if "/" in str(base) or str(base).endswith(".yaml") else f"{chosen.name}/{base}"
        if str(base).endswith(".yaml") and not Path(parent).is_absolute():
            parent = str(file.parent / parent)
        inherited, _ = _collect(parent, settings, (*seen, title))
        if inherited.name != chosen.name:
            raise UserError(f"{label}: extends a recipe of another family ({inherited.name}).")
    add_mapping(settings, chosen.config, mapping, label)
    return chosen, title if title in recipes() else file.stem


def _locate(title: str) -> Path:
    known, title = recipes(), RECIPES.get(title, title)
    if title in known:
        return known[title].file
    if title.endswith((".yaml", ".yml")):
        return Path(title).expanduser()
    if title in families():
        options = ", ".join(name for name in known if name.startswith(f"{title}/"))
        raise UserError(f"{title!r} is a family; choose one of its recipes: {options}.")
    raise UserError(
        f"no recipe {title!r}.{nearest(title, known)} `trainwright recipes` lists them; a path must end in .yaml."
    )

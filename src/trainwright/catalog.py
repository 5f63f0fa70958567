"""Families and recipes by name. Families are the folders of ``trainwright.families`` and other packages' entry points."""

import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

import trainwright.families
from trainwright.config.reading import Settings, add_mapping, add_overrides, read_yaml, validate
from trainwright.engine.config import RunConfig
from trainwright.engine.family import Family
from trainwright.errors import UserError, nearest

GROUP = "trainwright.families"


@cache
def families() -> dict[str, Family]:
    """Every family by name."""
    found = [
        importlib.import_module(f"trainwright.families.{module.name}").FAMILY
        for module in pkgutil.iter_modules(trainwright.families.__path__)
        if module.ispkg
    ]
    found += [point.load() for point in entry_points(group=GROUP)]
    return {family.name: family for family in found}


def family(name: str, where: str = "family") -> Family:
    """The family of that name; a UserError with the nearest name if there is none."""
    known = families()
    if name not in known:
        raise UserError(f"{where}: no family {name!r}.{nearest(name, known)} Known: {', '.join(sorted(known))}.")
    return known[name]


@dataclass(frozen=True)
class Recipe:
    """A YAML file that differs from its family's defaults."""

    family: str
    name: str
    file: Path

    @property
    def title(self) -> str:
        """As it is typed: ``wgan_gp/small``."""
        return f"{self.family}/{self.name}"

    @property
    def hypothesis(self) -> str:
        """What a run of it is expected to show."""
        return str(read_yaml(self.file).get("hypothesis", ""))


@cache
def recipes() -> dict[str, Recipe]:
    """Every shipped recipe by title."""
    found = {}
    for name, entry in sorted(families().items()):
        folder = Path(str(files(entry.home) / "recipes"))
        for file in sorted(folder.glob("*.yaml")):
            recipe = Recipe(name, file.stem, file)
            found[recipe.title] = recipe
    return found


def load(title: str, overrides: Iterable[str] = ()) -> tuple[Family, RunConfig]:
    """The family and the validated config of a recipe with overrides.

    Args:
        title: ``family/recipe`` of a shipped one, or the path of a YAML file with a ``family`` key.
        overrides: ``key=value`` words in any order; ``family=NAME`` stands in for the key in a guide's own file.

    Raises:
        UserError: unknown name, unknown key, wrong type or range, with the place and the nearest valid name.
    """
    settings = Settings()
    overrides = list(overrides)
    given = next((word.partition("=")[2] for word in overrides if word.startswith("family=")), None)
    chosen, name = _collect(title, settings, seen=(), otherwise=given)
    settings.put(("family",), chosen.name, title)
    settings.put(("recipe",), name, title)
    add_overrides(settings, chosen.config, overrides)
    shipped = tuple(f"{known} (" for known in recipes())
    typed = frozenset(p for p, place in settings.places.items() if place != title and not place.startswith(shipped))
    return chosen, validate(settings, chosen.config).resolved(typed)


def _collect(title: str, settings: Settings, seen: tuple[str, ...], otherwise: str | None = None) -> tuple[Family, str]:
    if title in seen:
        raise UserError(f"{title}: recipes extend each other in a circle: {' -> '.join((*seen, title))}.")
    file = _locate(title)
    mapping = read_yaml(file)
    label = str(file) if title not in recipes() else f"{title} ({file.name})"
    named = mapping.pop("family", otherwise)
    if not isinstance(named, str):
        raise UserError(
            f"{label}: expected a line 'family: NAME' (or family=NAME beside the file); known: {', '.join(sorted(families()))}."
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
    known = recipes()
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

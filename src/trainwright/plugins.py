"""Discovery of families, symptoms, causes, signals and playbooks: ours by their folders, other packages' by entry points.

Modules are imported by name when something is first asked for, so this file depends on nothing that it finds. A plug-in
that cannot be used is a :class:`PluginWarning` that names it, and everything else works without it.
"""

import importlib
import pkgutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

FAMILIES = "trainwright.families"  # the groups of entry points
SYMPTOMS = "trainwright.symptoms"
CAUSES = "trainwright.causes"
PLAYBOOKS = "trainwright.playbooks"

OUR_FAMILIES = "trainwright.families"  # the folders of this package
OUR_SYMPTOMS = "trainwright.diagnosis.symptoms"
OUR_CAUSES = "trainwright.diagnosis.causes"

FAMILY_CLASS = "trainwright.engine.family:Family"
SYMPTOM_CLASS = "trainwright.diagnosis.definitions:Symptom"
CAUSE_CLASS = "trainwright.diagnosis.definitions:Cause"
SIGNAL_CLASS = "trainwright.runs.signals:Signal"


class PluginWarning(UserWarning):
    """A plug-in cannot be used; the message names it and the error."""


@dataclass(frozen=True)
class _Source:
    """A place that defines one object or a sequence of them, and the function that imports it."""

    label: str
    load: Callable[[], Any]


def report(label: str, error: Exception) -> None:
    """Warn that a plug-in cannot be used, and why."""
    reason = " ".join(str(error).split())
    warnings.warn(f"{label} is skipped: {type(error).__name__}: {reason}", PluginWarning, stacklevel=2)


def named(place: str) -> Any:
    """Import and return the object at ``module:name``."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


@cache
def _entry_points() -> Any:
    from importlib.metadata import entry_points  # a tenth of a second in a large environment

    return entry_points()


def installed(group: str) -> "tuple[EntryPoint, ...]":
    """Return the entry points of a group that installed packages have."""
    return tuple(_entry_points().select(group=group))


# ---- what there is ---------------------------------------------------------------------------------------------------


@cache
def families() -> dict[str, Any]:
    """Every family by name, ours first."""
    return _collect(FAMILY_CLASS, _folder(OUR_FAMILIES, "FAMILY"), _installed(FAMILIES))


@cache
def symptoms(of_families: bool = True) -> dict[str, Any]:
    """Every symptom by name, in the order of the names.

    Args:
        of_families: also those that only a run of a family can show; without them no family is imported.
    """
    own = _of_families("symptoms") if of_families else ()
    found = _collect(SYMPTOM_CLASS, _folder(OUR_SYMPTOMS, "SYMPTOM"), own, _installed(SYMPTOMS))
    return dict(sorted(found.items()))


@cache
def causes(of_families: bool = True) -> dict[str, Any]:
    """Every cause by name.

    Those of families come first: of two causes with the same evidence the more specific one is named first.

    Args:
        of_families: also those that only a run of a family can have; without them no family is imported.
    """
    own = _of_families("causes") if of_families else ()
    return _collect(CAUSE_CLASS, own, _folder(OUR_CAUSES, "CAUSES"), _installed(CAUSES))


@cache
def signals() -> dict[str, Any]:
    """Every signal that a family declares and that its own symptoms or causes read, by name."""
    return _collect(SIGNAL_CLASS, _of_families("signals"), keep=lambda s: s.diagnosed or s.held_out or s.quality)


@cache
def playbooks() -> dict[str, Path]:
    """The file of each playbook by its title; one titled as a family is the family's own, and need not exist.

    A family's playbook is ``playbook.yaml`` in its package. An entry point of ``trainwright.playbooks`` names a package with
    another one, whose remedies are offered to every family that they fit.
    """
    found: dict[str, Path] = {}
    for family in families().values():
        try:
            found[family.name] = _folder_of(family.home) / "playbook.yaml"
        except Exception as error:
            report(f"the playbook of the family {family.name}", error)
    for point in installed(PLAYBOOKS):
        try:
            file = _folder_of(point.value) / "playbook.yaml"
            if point.name in found and found[point.name].exists():
                raise ValueError(f"there is a playbook {point.name!r} already")
            if not file.exists():
                raise FileNotFoundError(f"no file {file}")
            found[point.name] = file
        except Exception as error:
            report(_label(point), error)
    return found


# ---- where it is -----------------------------------------------------------------------------------------------------


def _folder(package: str, constant: str) -> Iterator[_Source]:
    """The modules of one of our packages, each with its objects under the name ``constant``."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        yield _Source(f"the module {module.name}", partial(named, f"{module.name}:{constant}"))


def _installed(group: str) -> Iterator[_Source]:
    for point in installed(group):
        yield _Source(_label(point), point.load)


def _of_families(field: str) -> Iterator[_Source]:
    for family in families().values():
        yield _Source(f"an entry of `{field}` of the family {family.name}", partial(getattr, family, field))


def _label(point: "EntryPoint") -> str:
    package = f" of the package {point.dist.name}" if point.dist is not None else ""
    return f"the entry point {point.group}: {point.name} = {point.value}{package}"


def _folder_of(package: str) -> Path:
    place = getattr(importlib.import_module(package), "__file__", None)
    if place is None:
        raise ModuleNotFoundError(f"{package} has no __init__.py")
    return Path(place).parent


def _collect(kind: str, *groups: Iterable[_Source], keep: Callable[[Any], bool] = lambda one: True) -> dict[str, Any]:
    """Return the objects of a class that ``keep`` accepts, by name; the first of a name stays, and any other object is reported."""
    wanted = named(kind)
    found: dict[str, Any] = {}
    for source in (source for group in groups for source in group):
        try:
            loaded = source.load()
        except Exception as error:
            report(source.label, error)
            continue
        for one in loaded if isinstance(loaded, Sequence) and not isinstance(loaded, str) else [loaded]:
            if not isinstance(one, wanted):
                report(source.label, TypeError(f"expected a {wanted.__name__}, found {one!r}"))
            elif not keep(one):
                continue
            elif one.name in found:
                report(source.label, ValueError(f"there is a {wanted.__name__} {one.name!r} already"))
            else:
                found[one.name] = one
    return found

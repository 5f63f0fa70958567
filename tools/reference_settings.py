"""Reference of settings: one page a family, and the schedules that any rate or weight can be."""

import types
import typing
from collections.abc import Iterable
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tools import catalog
from tools.markdown import code, docstring, listed, page, prose, sentence, table
from trainwright.config import schedules
from trainwright.config.base import Config, extra, section_of
from trainwright.engine.family import Family

WORDS = {int: "integer", float: "number", bool: "true or false", str: "text", type(None): "null", dict: "mapping"}


def pages() -> dict[str, str]:
    """Return a page for each family and one for what all have."""
    families = own_families()
    found = {f"settings/{f.name}.md": family_page(f) for f in families}
    return {"settings/index.md": _overview(families), **found}


def own_families() -> list[Family]:
    """Return the families that come with the package."""
    return [f for _, f in sorted(catalog.families().items()) if f.home.startswith("trainwright.")]


def _overview(families: list[Family]) -> str:
    curves = get_args(get_args(schedules.Curve)[0])
    parts = [
        f"## `kind: {get_args(c.model_fields['kind'].annotation)[0]}`\n\n{docstring(c)}\n\n{_fields(c)}" for c in curves
    ]
    return page(
        "Settings",
        "Every key that a recipe or the command line can set. A leaf name is enough where it is unique: `lr_g=1e-4` is "
        "`optim.lr_g=1e-4`. A run that is resumed takes new values, except of settings that are marked *needs a new run*.",
        table(("family", "for"), [(f"[`{f.name}`]({f.name}.md)", sentence(f.summary)) for f in families]),
        "# Schedules",
        "Wherever the type says *schedule*, a mapping with a `kind` can stand instead of a number.",
        *parts,
    ).replace("\n# Schedules", "\n## Schedules")


def family_page(family: Family) -> str:
    """Return the page of one family, a section of the config each."""
    parts = []
    nested: dict[str, type[Config]] = {}
    for name, config in _sections(family.config):
        parts.append(
            f"## {name or 'The recipe itself'}\n\n{docstring(config) if name else ''}\n\n{_fields(config, name, nested)}"
        )
    for name, config in nested.items():
        parts.append(f"## Fields of `{name}`\n\n{docstring(config)}\n\n{_fields(config)}")
    return page(f"Settings of {family.name}", sentence(family.summary), *parts)


def _sections(config: type[Config], prefix: str = "") -> Iterable[tuple[str, type[Config]]]:
    yield prefix, config
    for name, field in config.model_fields.items():
        inner = section_of(field)
        if inner is not None:
            yield from _sections(inner, f"{prefix}.{name}".lstrip("."))


def _fields(config: type[Config], prefix: str = "", nested: dict[str, type[Config]] | None = None) -> str:
    rows = []
    for name, field in config.model_fields.items():
        if section_of(field) is not None or (name == "kind" and nested is None):
            continue
        if nested is not None:
            nested.update({c.__name__: c for c in _configs(field.annotation) if c.__module__ != schedules.__name__})
        key = f"{prefix}.{field.alias or name}".lstrip(".")
        limits = _limits(field)
        kind = kind_of(field.annotation) + (f", {limits}" if limits else "")
        anchor = "" if nested is None else f'<a id="{key}"></a>'
        rows.append((f"{anchor}`{key}`", kind, _default(field), _meaning(field, nested is not None)))
    return table(("setting", "type", "default", "meaning"), rows) if rows else ""


def _meaning(field: FieldInfo, of_a_run: bool) -> str:
    parts = [prose(field.description or "")]
    aliases = extra(field, "aliases")
    if aliases:
        parts.append(f"Also known as {listed(aliases)}.")
    if of_a_run and not extra(field, "hot"):
        parts.append("*Needs a new run.*")
    return " ".join(parts)


def _configs(annotation: Any) -> list[type[Config]]:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return [annotation]
    return [c for a in get_args(annotation) for c in _configs(a)]


def kind_of(annotation: Any) -> str:
    """Return a type in words."""
    if annotation in WORDS:
        return WORDS[annotation]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return kind_of(args[0])
    if origin is typing.Literal:
        return " or ".join(code(a) for a in args)
    if origin in (typing.Union, types.UnionType):
        kinds = [k for a in args if (k := kind_of(a))]
        return " or ".join(dict.fromkeys(kinds))
    if origin is list or (origin is tuple and args[1:] == (...,)):
        return f"list of {kind_of(args[0])}"
    if origin is tuple:
        return f"list of {len(args)}: {', '.join(kind_of(a) for a in args)}"
    if origin is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return "schedule" if annotation.__module__ == schedules.__name__ else f"mapping ({annotation.__name__})"
    return "any value" if "Json" in str(annotation) else getattr(annotation, "__name__", str(annotation))


def _limits(field: FieldInfo) -> str:
    """Return the bounds of a field or, where it has none itself, those of the only annotated number in its type."""
    metadata = list(field.metadata) or [m for a in _annotated(field.annotation) for m in a]
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "at least", "max_length": "at most"}
    found = []
    for mark in metadata:
        for name, sign in signs.items():
            bound = getattr(mark, name, None)
            if isinstance(bound, int | float):
                found.append(f"{sign} {plain(bound)}" + (" long" if "length" in name else ""))
    return ", ".join(dict.fromkeys(found))


def _annotated(annotation: Any) -> list[tuple[Any, ...]]:
    if get_origin(annotation) is typing.Annotated:
        kind = get_args(annotation)[0]
        return [tuple(get_args(annotation)[1:])] if kind in (int, float) else _annotated(kind)
    return [m for a in get_args(annotation) for m in _annotated(a)]


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return (
            "required" if field.default_factory is None else code(plain(field.get_default(call_default_factory=True)))
        )
    return code(plain(field.default))


def plain(value: Any) -> str:
    """Return a value as it stands in YAML."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(plain(v) for v in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {plain(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Config):
        return plain(value.model_dump(mode="json"))
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e-3 or (value == int(value) and abs(value) >= 1e6) else repr(value)
    return str(value) if str(value) else '""'

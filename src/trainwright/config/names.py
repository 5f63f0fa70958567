"""Lookup of a config field by dotted path, leaf name or alias (such as its name in a guide)."""

from typing import Any

from pydantic.fields import FieldInfo

from trainwright.config.base import Config, extra, leaves, section_of
from trainwright.errors import UserError, nearest


def resolve(schema: type[Config], key: str, where: str) -> tuple[str, ...]:
    """Return the full path of ``key`` in ``schema``.

    ``key`` may be a dotted path (``optim.lr_g``), a section with a shorthand (``data``), a leaf name that is unique
    (``lr_g``) or an alias (``LEARNING_RATE_G``).

    Raises:
        UserError: for an unknown or ambiguous name, with the nearest valid one; ``where`` opens the message.
    """
    paths = [path for path, _ in leaves(schema)]
    dotted = tuple(key.split("."))
    if dotted in paths:
        return dotted
    section = _section(schema, dotted)
    if section is not None:
        if section.shorthand is None:
            fields = ", ".join(section.model_fields)
            raise UserError(f"{where}: {key!r} is a section; name one of its fields: {fields}.")
        return (*dotted, section.shorthand)
    matches = [path for path in paths if path[-len(dotted) :] == dotted]
    matches = matches or [path for path, field in leaves(schema) if _is_alias(path, field, dotted)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        options = ", ".join(".".join(path) for path in matches)
        raise UserError(f"{where}: {key!r} is ambiguous; name one of: {options}.")
    known = {path[-1] for path in paths} | {".".join(path) for path in paths} | set(schema.model_fields)
    hint = nearest(key, known)
    related = sorted({path[-1] for path in paths if path[-1].startswith(f"{key}_")})
    if not hint and related:
        hint = f" Did you mean one of {', '.join(related)}?"
    raise UserError(f"{where}: unknown key {key!r}.{hint}")


def current_value(schema: type[Config], key: str, path: tuple[str, ...], value: Any) -> Any:
    """Return the value under its current name, if ``key`` is an earlier name of the field at ``path``."""
    field = next((field for known, field in leaves(schema) if known == path), None)
    renamed = (extra(field, "formerly") or {}).get(key.rpartition(".")[2], {}) if field is not None else {}
    return renamed.get(value, value) if isinstance(value, str) else value


def _is_alias(path: tuple[str, ...], field: FieldInfo, dotted: tuple[str, ...]) -> bool:
    """Return whether ``dotted`` is a suffix of the path with an alias in place of its last name."""
    return any((*path[:-1], alias)[-len(dotted) :] == dotted for alias in extra(field, "aliases") or ())


def _section(schema: type[Config], path: tuple[str, ...]) -> type[Config] | None:
    for part in path:
        field = schema.model_fields.get(part)
        inner = section_of(field) if field is not None else None
        if inner is None:
            return None
        schema = inner
    return schema

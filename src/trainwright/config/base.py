"""The base of every config: frozen and strict, unknown keys are errors, and each field has a help sentence."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo


class Config(BaseModel):
    """A section of a recipe. ``shorthand`` names the field that a bare value stands for (``data: images/``)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    shorthand: ClassVar[str | None] = None

    @model_validator(mode="before")
    @classmethod
    def _expand_shorthand(cls, value: Any) -> Any:
        if cls.shorthand and isinstance(value, str):
            return {cls.shorthand: value}
        return value


def setting(
    default: Any,
    help: str,
    *,
    hot: bool = False,
    aliases: tuple[str, ...] = (),
    formerly: Mapping[str, Mapping[str, str]] | None = None,
    **limits: Any,
) -> Any:
    """Declare a config field.

    Args:
        default: the value if a recipe does not set it; ``...`` if a recipe must set it.
        help: one sentence for ``--help``, the docs and error messages.
        hot: True if a running or resumed run can take a new value; False if it needs a new run.
        aliases: other names of the field in guides and papers (``LAMBDA_GP``).
        formerly: earlier names of the field, each with a map from old names of values to new ones.
        limits: pydantic's bounds (``ge``, ``gt``, ``le``, ``lt``, ``pattern``, ...).
    """
    marks: dict[str, Any] = {
        "hot": hot,
        "aliases": [*aliases, *(formerly or {})],
        "formerly": {k: dict(v) for k, v in (formerly or {}).items()},
    }
    return Field(default, description=help, json_schema_extra=marks, **limits)


def section_of(field: FieldInfo) -> type[Config] | None:
    """Return the Config class of a nested section, or None for a plain value."""
    candidates = (field.annotation, *get_args(field.annotation))
    sections = [c for c in candidates if isinstance(c, type) and issubclass(c, Config)]
    return sections[0] if len(sections) == 1 and field.annotation in sections else None


def leaves(schema: type[Config], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Yield every plain value of a config class as (path, field), depth first, in the order of definition."""
    for name, field in schema.model_fields.items():
        section = section_of(field)
        if section is None:
            yield (*prefix, name), field
        else:
            yield from leaves(section, (*prefix, name))


def extra(field: FieldInfo, key: str) -> Any:
    """Return a mark that :func:`setting` stored in a field (``hot``, ``aliases`` or ``formerly``), or None."""
    marks = field.json_schema_extra
    return marks.get(key) if isinstance(marks, dict) else None


def flatten(config: Config) -> dict[str, Any]:
    """Return ``{"optim.lr_g": 0.0001, ...}`` with plain values: numbers, strings, lists, and dicts for schedules."""
    dumped = config.model_dump(mode="json")
    flat: dict[str, Any] = {}
    for path, _ in leaves(type(config)):
        value: Any = dumped
        for part in path:
            value = value[part]
        flat[".".join(path)] = value
    return flat

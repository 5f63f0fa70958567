"""Reading of YAML and ``key=value`` overrides into a validated config; errors name file, line and fix."""

import difflib
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from trainwright.config.base import Config, leaves
from trainwright.config.names import current_value, resolve
from trainwright.errors import UserError

C = TypeVar("C", bound=Config)
Path_ = tuple[str, ...]


class Settings:
    """Values before validation, each with the place where it was given."""

    def __init__(self, default_place: str = "config") -> None:
        self.default_place = default_place
        self.values: dict[str, Any] = {}
        self.places: dict[Path_, str] = {}

    def put(self, path: Path_, value: Any, place: str) -> None:
        """Set one value; a later call overrides an earlier one."""
        node = self.values
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = value
        self.places[path] = place

    def place(self, path: Path_) -> str:
        """Return the place where the value at ``path`` (or its nearest parent) was given."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return self.default_place


def read_yaml(file: Path) -> CommentedMap:
    """Parse a YAML file whose top level is a mapping. Numbers follow YAML 1.2, so ``1e-3`` is a number.

    Raises:
        UserError: the file is missing, unreadable, not YAML, has a key twice or is not a mapping.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({_reason(error)}).") from None
    try:
        loaded = YAML(typ="rt").load(io.StringIO(text))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = str(error.problem).split("\n")[0]
        raise UserError(f"{file}: line {line}: not valid YAML: {problem}.") from None
    except YAMLError as error:
        raise UserError(f"{file}: not valid YAML: {str(error).splitlines()[0]}.") from None
    if not isinstance(loaded, CommentedMap):
        raise UserError(f"{file}: expected a mapping such as 'family: wgan_gp', found {_kind(loaded)}.")
    return loaded


def add_mapping(settings: Settings, schema: type[Config], mapping: Mapping[str, Any], file: str) -> None:
    """Merge a YAML mapping: nested sections, dotted keys, and flat leaf names or aliases such as ``max_beta``."""
    _merge(settings, schema, mapping, file, ())


def _merge(settings: Settings, schema: type[Config], mapping: Mapping[str, Any], file: str, prefix: Path_) -> None:
    sections = _sections(schema)
    for key, value in mapping.items():
        place = f"{file}: {_line(mapping, key)}"
        path = (*prefix, str(key))
        if path in sections and isinstance(value, Mapping):
            _merge(settings, schema, value, file, path)
            continue
        if path in sections and value is None:
            continue
        name = ".".join(path)
        full = resolve(schema, name, place)
        settings.put(full, current_value(schema, name, full, plain(value)), place)


def _sections(schema: type[Config]) -> set[Path_]:
    return {path[:length] for path, _ in leaves(schema) for length in range(1, len(path))}


def add_overrides(settings: Settings, schema: type[Config], overrides: Iterable[str]) -> None:
    """Merge ``key=value`` words; the value is read as YAML, so ``1e-4``, ``[0, 0.9]`` and ``{kind: cosine}`` work."""
    for word in overrides:
        place = f"override {word!r}"
        key, equals, text = word.partition("=")
        if not equals or not key.strip():
            raise UserError(f"{place}: expected key=value, such as lr_g=1e-5.")
        full = resolve(schema, key.strip(), place)
        settings.put(full, current_value(schema, key.strip(), full, _value(text, place)), place)


def add_values(settings: Settings, schema: type[Config], values: Mapping[str, Any]) -> None:
    """Merge Python values by leaf name, alias or dotted path; a section may be a mapping of its fields."""
    _add_values(settings, schema, values, ())


def _add_values(settings: Settings, schema: type[Config], values: Mapping[str, Any], prefix: Path_) -> None:
    sections = _sections(schema)
    for key, value in values.items():
        path = (*prefix, *str(key).split("."))
        if path in sections and isinstance(value, Mapping):
            _add_values(settings, schema, value, path)
            continue
        name, place = ".".join(path), f"{key}={value!r}"
        full = resolve(schema, name, place)
        settings.put(full, current_value(schema, name, full, plain(value)), place)


def _value(text: str, place: str) -> Any:
    try:
        return YAML(typ="safe").load(io.StringIO(text))
    except YAMLError:
        if any(c in text for c in "{}[]"):
            raise UserError(f"{place}: the value is not valid YAML; quote it and close every bracket.") from None
        return text


def validate(settings: Settings, schema: type[C]) -> C:
    """Return the config, or raise a UserError with place, field, expected and found value."""
    try:
        return schema.model_validate(settings.values)
    except ValidationError as error:
        first = _most_specific(error)
        path = tuple(str(part) for part in first["loc"])
        raise UserError(f"{settings.place(path)}: {_explain(schema, path, first)}") from None


def _most_specific(error: ValidationError) -> Any:
    """Return the error to show: the first, or for a mapping (a schedule) the one about its own keys."""
    errors = error.errors()
    if isinstance(errors[0]["input"], Mapping) and len(errors) > 1:
        return max(errors[1:], key=lambda e: len(e["loc"]) * (e["loc"][0] == errors[0]["loc"][0]))
    return errors[0]


def _explain(schema: type[Config], path: Path_, error: Any) -> str:
    known = [leaf for leaf, _ in leaves(schema)]
    field = max((leaf for leaf in known if path[: len(leaf)] == leaf), key=len, default=path)
    name = ".".join(field)
    value = error.get("input")
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "missing":
        return f"{name} must be given."
    if error["type"] == "extra_forbidden":
        return f"{'.'.join(path)}: unknown key.{_similar(path[-1], known)}"
    message = message[0].lower() + message[1:]
    if not path:  # concerns several settings, which the message names
        return message if message.endswith((".", "?")) else f"{message}."
    return f"{name}: {message}, found {value!r}." if not message.endswith(".") else f"{name}: {message}"


def _similar(name: str, known: list[Path_]) -> str:
    match = difflib.get_close_matches(name, [leaf[-1] for leaf in known], n=1)
    return f" Did you mean {match[0]!r}?" if match else ""


def _line(mapping: Mapping[str, Any], key: str) -> str:
    marks = getattr(mapping, "lc", None)
    return f"line {marks.key(key)[0] + 1}" if marks is not None and marks.data else "config"


def plain(value: Any) -> Any:
    """Return YAML's node types as plain Python values."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return "not UTF-8 text"

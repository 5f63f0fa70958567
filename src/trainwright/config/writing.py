"""Writing of a config as YAML with a comment for each field, and the difference between two configs."""

import io
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from trainwright.config.base import Config, extra, flatten, leaves, section_of


def to_yaml(config: Config) -> str:
    """Return the whole config with each field's help as a comment; reading it back gives an equal config."""
    stream = io.StringIO()
    writer = YAML()
    writer.width = 4096
    writer.dump(_commented(type(config), config.model_dump(mode="json"), 0), stream)
    return stream.getvalue()


def _commented(schema: type[Config], values: dict[str, Any], depth: int) -> CommentedMap:
    node = CommentedMap()
    for name, field in schema.model_fields.items():
        section = section_of(field)
        node[name] = values[name] if section is None else _commented(section, values[name], depth + 1)
        if section is None and field.description:
            node.yaml_set_comment_before_after_key(name, before=field.description, indent=2 * depth)
    return node


@dataclass(frozen=True)
class Change:
    """One field that differs between two configs; ``hot`` if a resumed run can take the new value."""

    path: str
    old: Any
    new: Any
    hot: bool

    def __str__(self) -> str:
        return f"{self.path}: {self.old} -> {self.new}"


def diff(old: Config, new: Config) -> list[Change]:
    """Return every field whose value differs, in the order of definition."""
    before, after = flatten(old), flatten(new)
    hot = {".".join(path): bool(extra(field, "hot")) for path, field in leaves(type(new))}
    return [Change(p, before.get(p), after[p], hot[p]) for p in after if before.get(p) != after[p]]

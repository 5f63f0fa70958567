"""Reference of the command line: verbs with their options, exit codes, and the JSON that ``--json`` prints."""

import inspect
import json
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any, get_args, get_origin

import typer
from pydantic import TypeAdapter
from typing_extensions import is_typeddict

from tools.markdown import code, page, prose, table
from tools.reference_settings import kind_of, plain
from trainwright.cli import app
from trainwright.diagnosis.doctor import EXIT

PROGRAM = "trainwright"
PRINTED = re.compile(r"``trainwright ([\w -]+?) --json``")
CODES = re.compile(r"Exit codes: (.*?)(?:\.(?:\s|$))", re.DOTALL)


def pages() -> dict[str, str]:
    """Return the pages of verbs, exit codes and JSON, and a schema file for each verb."""
    schemas = json_schemas()
    files = {f"schemas/{name}.json": json.dumps(schema, indent=2) + "\n" for name, schema in schemas.items()}
    return {"cli.md": _cli(), "exit-codes.md": _exit_codes(), "json.md": _json(schemas), **files}


def json_schemas() -> dict[str, dict[str, Any]]:
    """Return verb to JSON schema, from the types of ``trainwright.schemas`` whose docstring names a command with ``--json``."""
    if find_spec("trainwright.schemas") is None:
        return {}
    found = {}
    for kind in vars(import_module("trainwright.schemas")).values():
        match = PRINTED.search(inspect.getdoc(kind) or "") if is_typeddict(kind) else None
        if match:
            whole = list[kind] if "prints a list" in str(kind.__doc__) else kind  # type: ignore[valid-type]
            found[match[1]] = TypeAdapter(whole).json_schema()
    return found


def commands() -> Iterator[tuple[str, Any]]:
    """Yield (``data fit-gaussians``, command) for every verb that is not hidden, groups before their own verbs."""
    yield from _below(typer.main.get_command(app), "")


def _below(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        yield f"{prefix}{name}", command
        if hasattr(command, "commands"):
            yield from _below(command, f"{prefix}{name} ")


def _cli() -> str:
    groups: dict[str, list[str]] = {}
    for name, command in commands():
        if " " not in name:
            groups.setdefault(str(getattr(command, "rich_help_panel", None) or ""), []).append(name)
    texts = dict(commands())
    overview = [
        (f"**{group}**\n\n" if group else "")
        + table(("verb", ""), [(f"[`{n}`](#{_anchor(n)})", prose(_first(texts[n].help))) for n in names])
        for group, names in groups.items()
    ]
    shared = [p for p in typer.main.get_command(app).params if not getattr(p, "hidden", False)]
    options = f"Options of `{PROGRAM}` itself:\n\n{_options(shared)}" if shared else ""
    return page(
        "Command line",
        f"`{PROGRAM} VERB --help` prints what stands here. See also [exit codes](exit-codes.md) and "
        "[what `--json` prints](json.md).",
        *overview,
        options,
        *(_verb(name, command) for name, command in texts.items()),
    )


def _anchor(name: str) -> str:
    return f"{PROGRAM}-{name.replace(' ', '-')}"


def _first(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split())


def _verb(name: str, command: Any) -> str:
    arguments = [p for p in command.params if not p.opts[0].startswith("-")]
    options = [p for p in command.params if p.opts[0].startswith("-") and not getattr(p, "hidden", False)]
    usage = [PROGRAM, name, *(_usage(p) for p in arguments)]
    usage += ["VERB ..."] if hasattr(command, "commands") else []
    usage += ["[OPTIONS]"] if options else []
    level = "##" if " " not in name else "###"
    parts = [
        f"{level} {PROGRAM} {name}",
        prose(" ".join((command.help or "").split())),
        f"```text\n{' '.join(usage)}\n```",
    ]
    if arguments:
        parts.append(table(("argument", "meaning"), [(f"`{p.name.upper()}`", prose(p.help or "")) for p in arguments]))
    if options:
        parts.append(_options(options))
    if command.epilog:
        parts.append(prose(" ".join(command.epilog.split())))
    return "\n\n".join(parts)


def _usage(p: Any) -> str:
    name = p.name.upper() + (" ..." if p.nargs == -1 else "")
    return name if p.required else f"[{name}]"


def _options(options: list[Any]) -> str:
    rows = []
    for p in options:
        names = ", ".join(f"`{o}`" for o in [*p.opts, *p.secondary_opts])
        default = p.default() if callable(p.default) else p.default
        shown = "" if default is None or p.is_flag or default == () or default == [] else code(plain(default))
        rows.append((names, _kind(p), shown, prose(p.help or "")))
    return table(("option", "value", "default", "meaning"), rows)


def _kind(p: Any) -> str:
    if p.is_flag:
        return ""
    annotation = getattr(getattr(p, "type_descriptor", None), "annotation", None)
    if annotation is None:
        return str(getattr(getattr(p, "type", None), "name", ""))
    while type(None) in get_args(annotation):
        annotation = next(a for a in get_args(annotation) if a is not type(None))
    several = get_origin(annotation) is list
    kind = kind_of(get_args(annotation)[0] if several else annotation).replace("Path", "path")
    return kind + (" (repeatable)" if several else "")


def _exit_codes() -> str:
    general = [
        ("0", "done"),
        (
            "2",
            "a mistake in the command, the config, the data or a folder; one or two sentences on standard error say what to do",
        ),
        ("3", "training crashed on a value that is not finite; the checkpoint before it is kept"),
        *((str(EXIT[v]), f"{v}: the verdict on a run") for v in sorted(EXIT, key=EXIT.__getitem__) if EXIT[v]),
        (
            "130",
            "interrupted; a first Ctrl-C or SIGTERM saves a checkpoint after the current step, a second one stops at once",
        ),
    ]
    own = []
    for name, command in commands():
        found = CODES.search(" ".join((command.epilog or "").split()))
        if found:
            own.append((f"[`{name}`](cli.md#{_anchor(name)})", prose(found[1])))
    return page(
        "Exit codes",
        "Codes from 10 to 13 are verdicts: the command itself worked.",
        table(("code", "meaning"), general),
        "## By verb",
        "Verbs that are not listed use only 0, 2 and 130.",
        table(("verb", "codes"), own),
    )


def _json(schemas: dict[str, dict[str, Any]]) -> str:
    parts = [
        f"## {PROGRAM} {name} --json\n\nSchema: [{name}.json](schemas/{name}.json)\n\n{_shape(found)}"
        for name, found in schemas.items()
    ]
    return page(
        "JSON output",
        "Verbs with `--json` print one JSON value on standard output. Keys may be added in a minor version; a key is renamed or "
        "removed in a major version only.",
        *parts,
    )


def _shape(found: dict[str, Any]) -> str:
    defs = found.get("$defs", {})
    several = found.get("type") == "array"
    item = found["items"] if several else found
    first = defs[item["$ref"].rpartition("/")[2]] if "$ref" in item else item
    lead = "A list of objects, each with:" if several else "One object with:"
    inner = [f"`{n}`: {prose(_line(d))}\n\n{_keys(d)}" for n, d in defs.items() if d is not first and "properties" in d]
    return "\n\n".join([prose(_line(first)), lead, _keys(first), *inner])


def _line(found: dict[str, Any]) -> str:
    return " ".join(str(found.get("description", "")).replace("``", "`").split())


def _keys(found: dict[str, Any]) -> str:
    required = found.get("required", [])
    rows = [
        (
            f"`{name}`" + ("" if name in required else " (optional)"),
            _json_kind(value),
            prose(value.get("description", "")),
        )
        for name, value in found["properties"].items()
    ]
    return table(("key", "type", "meaning"), rows)


def _json_kind(value: dict[str, Any]) -> str:
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_json_kind(v) for v in value["anyOf"]))
    if "$ref" in value:
        return code(value["$ref"].rpartition("/")[2])
    if "enum" in value:
        return " or ".join(code(v) for v in value["enum"])
    if value.get("type") == "array":
        return f"list of {_json_kind(value['items'])}" if value.get("items") else "list"
    if value.get("type") == "object":
        inner = value.get("additionalProperties")
        return f"object of {_json_kind(inner)}" if isinstance(inner, dict) and inner else "object"
    return {"string": "text", "boolean": "true or false"}.get(
        str(value.get("type", "")), str(value.get("type", "any value"))
    )

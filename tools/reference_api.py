"""Reference of the Python API and of the diagnosis API for plug-ins, from signatures and docstrings."""

import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Any

import trainwright
from tools.markdown import docstring, page, table
from trainwright.diagnosis import definitions, history
from trainwright.runs import signals

FALLBACK = ("watch",)
FOR_PLUGINS = {  # module -> names that a package with symptoms and causes of its own imports
    definitions: (
        "Symptom", "Bound", "Unknown", "Observation", "Evidence", "Stretch", "Cause", "Assessment",
        "persistent", "smooth", "earlier", "thin", "evidence", "observation",
    ),
    history: ("History", "Series"),
    signals: ("Signal",),
}  # fmt: skip


def pages() -> dict[str, str]:
    """Return the pages of the Python API and of the diagnosis API."""
    return {"python-api.md": _python_api(), "diagnosis-api.md": _diagnosis_api()}


def _diagnosis_api() -> str:
    objects = {name: getattr(module, name) for module, names in FOR_PLUGINS.items() for name in names}
    kinds = {n: "class" if inspect.isclass(o) else "function" for n, o in objects.items()}
    imports = [_import(module.__name__, names) for module, names in FOR_PLUGINS.items()]
    return page(
        "Diagnosis API",
        "Symptoms, causes and signals of a package of your own are made from the names on this page, see "
        "[add a symptom](../how-to/add-a-symptom.md). The names are as stable as the [Python API](python-api.md).",
        "```python\n" + "\n".join(imports) + "\n```",
        "`Cause` is the definition of a cause here. `tw.Cause` of the Python API is a result: a cause that was found in a run, with "
        "its weight.",
        table(("name", "", ""), [(f"[`{n}`](#{_anchor(n, o)})", kinds[n], _summary(o)) for n, o in objects.items()]),
        *(_entry(n, o) for n, o in objects.items()),
    )


def _import(module: str, names: Sequence[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    return line if len(line) <= 100 else f"from {module} import (\n" + "".join(f"    {n},\n" for n in names) + ")"


def _python_api() -> str:
    names = [n for n in getattr(trainwright, "__all__", FALLBACK) if not n.startswith("_")]
    objects = {name: getattr(trainwright, name) for name in names}
    objects |= {kind.__name__: kind for function in objects.values() for kind in _returned(function, names)}
    kinds = {n: "class" if inspect.isclass(o) else "function" if callable(o) else "value" for n, o in objects.items()}
    rows = [(f"[`{n}`](#{_anchor(n, o)})", kinds[n], _summary(o)) for n, o in objects.items() if kinds[n] != "value"]
    text = page(
        "Python API",
        "`import trainwright as tw` gives the names on this page. They are stable, like those of the "
        "[diagnosis API](diagnosis-api.md) for plug-ins. Everything else may change without notice.",
        table(("name", "", ""), rows),
        *(_entry(n, o) for n, o in objects.items() if kinds[n] != "value"),
    )
    return text.replace("`History`", "[`History`](diagnosis-api.md#class-history)")


def _returned(function: Any, names: Sequence[str]) -> list[type]:
    """Return the class of ours that a function returns, if it has no entry of its own."""
    if not inspect.isfunction(function):
        return []
    found = function.__annotations__.get("return")
    if isinstance(found, str):
        found = vars(inspect.getmodule(function)).get(found)
    ours = inspect.isclass(found) and found.__module__.startswith("trainwright")
    return [found] if ours and found.__name__ not in names else []


def _summary(obj: Any) -> str:
    return docstring(obj).split("\n\n")[0].replace("\n", " ")


def _anchor(name: str, obj: Any) -> str:
    """Return the anchor of an entry; ``Check`` and ``check`` differ."""
    return f"class-{name.lower()}" if inspect.isclass(obj) else name.lower()


def _entry(name: str, obj: Any) -> str:
    parts = [
        f"## class {name}" if inspect.isclass(obj) else f"## {name}",
        f"```py\n{_signature(name, obj)}\n```",
        docstring(obj),
    ]
    if inspect.isclass(obj):
        for member, value in _members(obj):
            parts.append(f"### {name}.{member}")
            target = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if not isinstance(value, property) and callable(target):
                parts.append(f"```py\n{_signature(f'{name}.{member}', target)}\n```")
            parts.append(docstring(target))
    return "\n\n".join(p for p in parts if p)


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that a class or a base of ours defines, in the order of definition."""
    seen: set[str] = set()
    for base in cls.__mro__:
        if not base.__module__.startswith("trainwright"):
            continue
        for name, value in vars(base).items():
            plain = getattr(value, "func", getattr(value, "__func__", value))
            if name.startswith("_") or name in seen or not (isinstance(value, property) or inspect.isfunction(plain)):
                continue
            seen.add(name)
            if inspect.getdoc(value.fget if isinstance(value, property) else plain):
                yield name, property(plain) if hasattr(value, "func") and not isinstance(value, property) else value


def _signature(name: str, obj: Any) -> str:
    try:
        found = inspect.signature(obj)
    except (TypeError, ValueError):
        return name
    parameters = list(found.parameters.values())
    if parameters and parameters[0].name in ("self", "cls"):
        parameters = parameters[1:]
    parameters = [p for p in parameters if not p.name.startswith("_")]
    text = [_parameter(p) for p in parameters]
    if any(p.kind is p.KEYWORD_ONLY for p in parameters) and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        first = next(i for i, p in enumerate(parameters) if p.kind is p.KEYWORD_ONLY)
        text.insert(first, "*")
    returns = found.return_annotation
    end = "" if returns is found.empty or inspect.isclass(obj) else f" -> {_tidy(inspect.formatannotation(returns))}"
    line = f"{name}({', '.join(text)}){end}"
    if len(line) <= 100:
        return line
    return f"{name}(\n" + "".join(f"    {t},\n" for t in text) + f"){end}"


def _parameter(p: inspect.Parameter) -> str:
    stars = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
    kind = "" if p.annotation is p.empty else f": {_tidy(inspect.formatannotation(p.annotation))}"
    if p.default is p.empty:
        return f"{stars}{p.name}{kind}"
    default = p.default.__name__ if inspect.isroutine(p.default) or inspect.isclass(p.default) else repr(p.default)
    shown = "..." if default.startswith("<") else re.sub(r"^PosixPath\((.*)\)$", r"Path(\1)", default)
    return f"{p.name}{kind}{' = ' if kind else '='}{shown}"


def _tidy(text: str) -> str:
    """Return an annotation without module paths and quotes of forward references."""
    text = re.sub(r"\b(?:[a-z_]\w*\.)+([A-Za-z_]\w*)", r"\1", text)
    return re.sub(r"^'(.*)'$", r"\1", text)

"""Python and commands on a page: blocks after ``<!-- run -->`` are carried out, the others name only what exists.

``<!-- run, 1500 as 40 -->`` replaces a number of the block. All blocks of a page that are marked run in one folder and one namespace,
in their order, with every training shrunk to seconds. The folder has ``my_images/`` with 40 real images.
"""

import ast
import importlib
import inspect
import shlex
import sys
import textwrap
import types

import pytest

from tests.docs.pages import blocks, commands, name, pages
from trainwright.cli import app

SHELL = ("sh", "bash", "console", "shell")
VERDICTS = (0, 10, 11, 12, 13)  # exit codes of a command that did what it was asked for
MARKED = [p for p in pages() if any(b.run for b in blocks(p, "python", *SHELL))]


@pytest.mark.parametrize("page", pages(), ids=name)
def test_snippets_name_what_exists(page):
    wrong = [f"line {b.line}: {w}" for b in blocks(page, "python") for w in unknown(b.text)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", MARKED, ids=name)
def test_marked_blocks_run(page, reader, monkeypatch):
    space = types.ModuleType("snippet")
    monkeypatch.setitem(sys.modules, "snippet", space)
    for block in blocks(page, "python", *SHELL):
        if not block.run:
            continue
        if block.kind == "python":
            padded = "\n" * block.line + block.text  # so that a traceback names the line of the page
            exec(compile(padded, str(page), "exec"), vars(space))
        else:
            for line in commands(block.text):
                assert invoke(line) in VERDICTS, f"line {block.line}: trainwright {line}"


def invoke(line: str) -> int:
    """Carry out one command in this process; returns its exit code."""
    try:
        result = app(shlex.split(line), standalone_mode=False)
    except SystemExit as end:
        result = end.code
    return result if isinstance(result, int) else 0


def unknown(text: str) -> list[str]:
    """Modules, attributes and keyword arguments of Trainwright that a snippet names and that do not exist."""
    tree = ast.parse(textwrap.dedent(text))
    names: dict[str, object] = {}
    wrong = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "trainwright":
                    wrong += _imported(names, alias.asname or "trainwright", alias.name, bool(alias.asname))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "trainwright":
            for alias in node.names:
                wrong += _from(names, alias.asname or alias.name, str(node.module), alias.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found, missing = _resolve(node, names)
            wrong += missing if found is None else []
        if isinstance(node, ast.Call):
            wrong += _keywords(node, names)
    return list(dict.fromkeys(wrong))


def _imported(names: dict[str, object], local: str, module: str, whole: bool) -> list[str]:
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        return [str(error)]
    names[local] = found if whole else sys.modules["trainwright"]
    return []


def _from(names: dict[str, object], local: str, module: str, attribute: str) -> list[str]:
    try:
        source = importlib.import_module(module)
        names[local] = (
            getattr(source, attribute)
            if hasattr(source, attribute)
            else importlib.import_module(f"{module}.{attribute}")
        )
    except ImportError as error:
        return [str(error)]
    return []


def _resolve(node: ast.expr, names: dict[str, object]) -> tuple[object | None, list[str]]:
    """The object of a dotted name that begins with something imported, and what is missing on the way."""
    if isinstance(node, ast.Name):
        return names.get(node.id), []
    if not isinstance(node, ast.Attribute):
        return None, []
    base, missing = _resolve(node.value, names)
    if base is None or not (inspect.ismodule(base) or inspect.isclass(base)):
        return None, missing
    if not hasattr(base, node.attr):
        annotated = inspect.isclass(base) and any(node.attr in vars(c).get("__annotations__", {}) for c in base.__mro__)
        return None, [] if annotated else [f"{getattr(base, '__name__', base)} has no {node.attr!r}"]
    return getattr(base, node.attr), missing


def _keywords(node: ast.Call, names: dict[str, object]) -> list[str]:
    function, _ = _resolve(node.func, names)
    if function is None or not callable(function):
        return []
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return []
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return []
    given = [k.arg for k in node.keywords if k.arg is not None]
    return [f"{ast.unparse(node.func)} takes no {k!r}" for k in given if k not in parameters]


@pytest.mark.parametrize(
    "text",
    [
        "import trainwright\ntrainwright.no_such_function()",
        "from trainwright.runs.folder import NoSuchClass",
        "from trainwright.no_such_module import x",
        "from trainwright.runs.folder import Run\nRun(folder=1, no_such=2)",
    ],
)
def test_unknown_names_are_found(text):
    assert unknown(text)


def test_known_names_pass():
    assert unknown("import trainwright as tw\nwatch = tw.watch(total=10)\nwatch(1, loss=2)\nfoo.bar(baz=1)") == []


def test_commands_run_at_smoke_size(reader):
    assert invoke("train wgan_gp/small data=my_images steps=100000 --run runs/a") == 0
    assert '"step": 6' in (reader / "runs" / "a" / "run.json").read_text()
    assert invoke("doctor runs/a") in VERDICTS
    with pytest.raises(Exception, match="no_such"):
        invoke("train wgan_gp/small no_such=1")

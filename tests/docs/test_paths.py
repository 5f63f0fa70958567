"""Pages for contributors name files that exist, and the order of callbacks and the requests as they are."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.docs.pages import DOCS, ROOT, name
from tools import catalog
from trainwright.engine.callbacks.base import Callback, Request
from trainwright.engine.callbacks.diagnosis import DiagnosisCallback
from trainwright.engine.display import Silent
from trainwright.engine.session import _in_order

PAGES = [ROOT / "CONTRIBUTING.md", *DOCS.glob("how-to/add-*.md"), DOCS / "explanation" / "architecture.md"]
PATH = re.compile(
    r"`((?:[\w-]+/)+(?:[\w-]+(?:\.(?:py|yaml|md|gz|json))+)?)`"
)  # a file with its ending, or a folder with its slash
NEW = {"my_package/pale.py", "my_package/playbook.yaml", "tests/test_pale.py", "tests/diagnosis/test_pale.py"}
RELATIVE = re.compile(r"(?:build|recipes|my_\w+)/")  # outputs, and folders inside a package


def exists(path: str) -> bool:
    """Tell if a path names a file or folder of the repository; NAME stands for any name."""
    pattern = path.rstrip("/").replace("NAME", "*")
    return any(any(folder.glob(pattern)) for folder in (ROOT, ROOT / "src" / "trainwright"))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_paths_exist(page: Path):
    paths = set(PATH.findall(re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)))
    assert paths
    assert [p for p in sorted(paths - NEW) if not RELATIVE.match(p) and not exists(p)] == []


def test_missing_paths_are_found():
    assert exists("families/NAME/model.py") and exists("src/trainwright/runs/signals.py")
    assert not exists("families/NAME/step.py")


@pytest.mark.parametrize("page", [p for p in PAGES if p.parent.name == "how-to"], ids=name)
def test_guides_name_files_of_the_package_from_the_root(page: Path):
    inside = {p.name for p in (ROOT / "src" / "trainwright").iterdir() if p.is_dir()}
    assert [p for p in PATH.findall(page.read_text()) if p.split("/")[0] in inside and "." in p] == []


def test_the_order_of_callbacks_and_every_request_are_on_the_page():
    page = (DOCS / "explanation" / "architecture.md").read_text()
    _, config = catalog.load("wgan_gp/tiny")
    model, own = SimpleNamespace(config=config, roles={}, groups={}), Callback()
    ordered = _in_order(model, SimpleNamespace(), DiagnosisCallback(), Silent(), [own])
    names = [type(c).__name__ if c is not own else "of the user" for c in ordered]
    rows = re.findall(r"^\| \d \| ([^|]+) \|", page, re.MULTILINE)
    assert [row.strip("`").removeprefix("callbacks ") for row in rows] == names
    assert [r.__name__ for r in Request.__subclasses__() if f"`{r.__name__}`" not in page] == []

"""Tables of results equal the results, and pages name what exists."""

import json

import pytest

from benchmarks.tables import filled
from tests.docs.pages import DOCS, ROOT, name, pages
from tools import catalog
from trainwright.runs import legacy


@pytest.mark.parametrize("page", pages(), ids=name)
def test_tables_are_their_results(page):
    assert filled(page.read_text()) == page.read_text(), "run: python -m benchmarks.tables"


def test_every_recipe_of_a_family_is_on_its_page():
    for title, recipe in catalog.recipes().items():
        places = [DOCS / "families" / f"{recipe.family}.md", DOCS / f"{recipe.family}.md"]
        page = next(p for p in places if p.exists())
        assert f"`{title}`" in page.read_text(), page


def test_changelog_names_what_was_renamed():
    text = (ROOT / "CHANGELOG.md").read_text()
    for table in (legacy.SIGNAL_PREFIXES, legacy.EVENTS, legacy.SYMPTOMS, legacy.CAUSES, legacy.RECIPES):
        for old, new in table.items():
            assert f"| `{old}` | `{new}` |" in text, old


def test_run_folder_page_names_every_file_of_a_run(finished):
    text = (DOCS / "reference" / "run-folder.md").read_text()
    folder = finished("wgan_gp/small").run.folder
    for entry in folder.iterdir():
        assert entry.name.startswith(".") or f"`{entry.name}{'/' if entry.is_dir() else ''}" in text, entry.name
    for key in json.loads((folder / "run.json").read_text()):
        assert f"`{key}`" in text, key

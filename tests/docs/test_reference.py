"""Generated pages, navigation and lists of pages are what the code and the folder say."""

import pytest

from tests.docs.pages import ROOT
from tools import docs_reference, docs_site
from tools.markdown import cell, prose, render

FIX = "run: make docs-reference"


def test_reference_is_what_the_code_says():
    assert docs_reference.stale() == [], FIX


def test_a_page_that_differs_and_one_that_is_left_over_are_found(tmp_path):
    for name, text in docs_reference.pages().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert docs_reference.stale(tmp_path) == []
    (tmp_path / "events.md").write_text((tmp_path / "events.md").read_text() + "more\n")
    (tmp_path / "settings" / "gone.md").write_text((tmp_path / "signals.md").read_text())
    (tmp_path / "by-hand.md").write_text("# By hand\n")
    assert docs_reference.stale(tmp_path) == ["events.md", "settings/gone.md"]


def test_navigation_lists_and_outward_links_are_up_to_date():
    assert docs_site.stale() == [], FIX


def test_every_page_is_in_the_navigation():
    text = docs_site.CONFIG.read_text()
    for page in docs_site.DOCS.rglob("*.md"):
        assert f'"{page.relative_to(docs_site.DOCS)}"' in text, FIX


def test_a_link_that_leaves_the_docs_becomes_an_address_of_the_repository():
    page = docs_site.DOCS / "explanation" / "x.md"
    assert docs_site.linked("[log](../../LOG.md#a) [here](../index.md)", page) == (
        f"[log]({docs_site.REPOSITORY}LOG.md#a) [here](../index.md)"
    )


def test_summary_is_the_first_sentence_without_links(tmp_path):
    page = tmp_path / "p.md"
    page.write_text("<!-- Generated. -->\n\n# Title\n\n![strip](a.png)\n\nIt [trains](b.md) `a.b` models. More.\n")
    assert docs_site.summary(page) == "It trains `a.b` models."


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        (
            "Return ``x``.\n\nArgs:\n    a: first\n        and more.\n    b: second.\n",
            "- `a`: first and more.\n- `b`: second.",
        ),
        ("See :class:`~trainwright.runs.folder.Run` or :func:`watch`.", "See `Run` or `watch`."),
        ("A list<int> of a*b*c, not `a*b`.", r"A list\<int\> of a\*b\*c, not `a*b`."),
        ("Example::\n\n    x = 1\n    y = 2\n\nAfter.", "```python\nx = 1\ny = 2\n```\n\nAfter."),
    ],
)
def test_docstrings_become_markdown(text, markdown):
    assert markdown in render(text)


def test_cells_and_prose_are_safe_in_a_table():
    assert cell("a | b\nc") == r"a \| b c"
    assert prose("weight × [KL] `[x]`") == r"weight × \[KL\] `[x]`"


def test_package_says_that_it_is_typed():
    assert (ROOT / "src" / "trainwright" / "py.typed").exists()

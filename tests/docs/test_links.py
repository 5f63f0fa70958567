"""Every local link and anchor leads somewhere, on GitHub and on the site; no network is needed."""

import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, name, pages, prose
from tools.docs_site import REPOSITORY

LINK = re.compile(
    r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|(?:src|href)=\"([^\"]+)\"|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE
)


@pytest.mark.parametrize("page", pages(), ids=name)
def test_links_lead_somewhere(page):
    assert broken(page, prose(page)) == []


@pytest.mark.parametrize("page", pages(), ids=name)
def test_a_page_has_one_title(page):
    titles = re.findall(
        r"^# .+$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    assert len(titles) == 1


def test_broken_links_are_found():
    text = f'[a](nowhere.md) [b](index.md#no-such) ![c](no.png) <img src="no.png"> [d]({REPOSITORY}no.md) [e](https://x.y/)'
    assert len(broken(DOCS / "index.md", text)) == 5
    assert broken(DOCS / "index.md", f"[a](index.md#trainwright) [b](#trainwright) [c]({REPOSITORY}LOG.md)") == []


def test_anchors_are_those_of_both_renderers(tmp_path):
    page = tmp_path / "p.md"
    page.write_text('# One two\n## `kind: a`\n## A  b\n## Same\n## Same\n<a id="x.y"></a>\n```\n# not one\n```\n')
    assert {"one-two", "kind-a", "same", "x.y"} <= anchors(page) and "not-one" not in anchors(page)
    assert "a-b" not in anchors(page)  # GitHub makes two hyphens of two spaces, the site one


def broken(page: Path, text: str) -> list[str]:
    """The links of a text that lead nowhere, seen from a page."""
    found = []
    for groups in LINK.findall(text):
        link = next(filter(None, groups))
        if link.startswith(REPOSITORY):
            target, anchor = ROOT / link.removeprefix(REPOSITORY).partition("#")[0], ""
        elif re.match(r"[a-z]+:", link):
            continue
        else:
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            found.append(link)
    return found


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page that exist on GitHub as well as on the site."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = [
        re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", h).strip().lower()
        for h in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    ]
    bare = [re.sub(r"[^\w\s-]", "", h).strip() for h in headings]
    both = {re.sub(r"\s", "-", h) for h in bare} & {re.sub(r"[-\s]+", "-", h) for h in bare}
    return frozenset(both | set(re.findall(r'<a id="([^"]+)">', text)))

"""Tests of README and docs: tables, links, commands, snippets, recipes on family pages, and sources of guides."""

import ast
import re
import shlex

import pytest

from benchmarks.tables import ROOT, filled, pages
from trainwright import recipes as registry
from trainwright.config.reading import Settings, add_overrides

DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"  # generated from the code
each_page = pytest.mark.parametrize("page", pages(), ids=lambda p: str(p.relative_to(ROOT)))


def blocks(text: str, *languages: str) -> list[str]:
    """Return the fenced blocks of these languages."""
    return [code for language, code in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL) if language in languages]


def commands(text: str) -> list[list[str]]:
    """Return every ``trainwright`` command of a page, in words, without comments."""
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    lines += re.findall(r"`(trainwright [^`]*)`", text)
    return [shlex.split(line, comments=True) for line in lines if line.startswith("trainwright ")]


@each_page
def test_tables_are_their_results(page):
    assert filled(page.read_text()) == page.read_text(), "run: python -m benchmarks.tables"


@each_page
def test_local_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", text):
        if "://" in target:
            continue
        file = (page.parent / target).resolve() if target else page
        if REFERENCE in file.parents and not REFERENCE.exists():
            continue
        assert file.exists(), target
        if anchor and REFERENCE not in file.parents:
            assert anchor in anchors(file.read_text()), f"{target}#{anchor}"


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MkDocs make them."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@each_page
def test_recipes_and_settings_of_commands_exist(page):
    for words in commands(page.read_text()):
        if len(words) < 3 or words[1] not in ("train", "treat", "check") or words[2].endswith((".yaml", "RECIPE")):
            continue
        assert words[2] in registry.recipes(), words
        family = registry.family(words[2].split("/")[0])
        add_overrides(Settings(), family.config, [word for word in words[3:] if "=" in word and word[0] != "-"])


@each_page
def test_plans_of_commands_exist(page):
    for words in commands(page.read_text()):
        if words[1:2] == ["plan"] and len(words) > 3:
            family, _, name = words[3].partition("/")
            assert (ROOT / "src/trainwright/families" / family / "plans" / f"{name}.yaml").exists(), words


@each_page
def test_python_blocks_can_be_parsed(page):
    for code in blocks(page.read_text(), "python"):
        ast.parse(code)


@each_page
def test_a_page_that_mentions_a_guide_links_the_sources(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    if re.search(r"\bguides?\b", text, re.IGNORECASE) and page.name != "sources.md":
        assert "sources.md" in text


def test_every_recipe_of_a_family_is_on_its_page():
    for title, recipe in registry.recipes().items():
        page = DOCS / "families" / f"{recipe.family}.md"
        if recipe.file.is_relative_to(ROOT):
            assert f"`{title}`" in page.read_text()


@pytest.mark.parametrize("page", sorted((DOCS / "families").glob("*.md")), ids=lambda p: p.stem)
def test_a_family_page_says_first_what_one_gets(page):
    text = page.read_text()
    assert re.findall(r"^- \*\*(\w+)\*\*:", text, re.MULTILINE)[:4] == ["For", "Needs", "Takes", "Gives"]
    assert "](../images/" in text[:1500]
    assert "## Your guide's command here" in text


def test_readme_is_short_and_shows_an_image_first():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    assert any(line.startswith("![") for line in lines[:10])


def test_the_loop_of_the_tutorial_collapses_as_the_page_says(capsys):
    page = (DOCS / "tutorial" / "your-own-loop.md").read_text()
    code = blocks(page, "python")[0]
    assert "for step in range(STEPS):" in code
    exec(compile(code.replace("for step in range(STEPS):", "for step in range(600):"), "loop.py", "exec"), {})
    printed, shown = " ".join(capsys.readouterr().out.split()), " ".join(blocks(page, "text")[0].split())
    number = re.compile(r"\d+(\.\d+)?")
    assert number.sub("N", shown) in number.sub("N", printed)

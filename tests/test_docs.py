"""README and docs say what is true: tables equal their results, recipes and verbs exist, local links lead somewhere."""

import re
import shlex

import pytest

from benchmarks.tables import ROOT, filled, pages
from trainwright import catalog as registry
from trainwright.config.reading import Settings, add_overrides


@pytest.mark.parametrize("page", pages(), ids=lambda p: p.name)
def test_tables_are_their_results(page):
    assert filled(page.read_text()) == page.read_text(), "run: python -m benchmarks.tables"


@pytest.mark.parametrize("page", pages(), ids=lambda p: p.name)
def test_local_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", pages(), ids=lambda p: p.name)
def test_train_commands_in_the_docs_are_valid(page):
    for recipe, rest in re.findall(r"trainwright train (\w+/[\w.]*\w)([^\n`#]*)", page.read_text()):
        assert recipe in registry.recipes(), recipe
        family = registry.family(recipe.split("/")[0])
        words = [word for word in shlex.split(rest) if "=" in word and not word.startswith("-")]
        add_overrides(Settings(), family.config, words)


def test_every_recipe_of_a_family_is_on_its_page():
    for title, recipe in registry.recipes().items():
        assert f"`{title}`" in (ROOT / "docs" / f"{recipe.family}.md").read_text()

"""Every event that the sources write and every signal that a run records is declared, and nothing is declared that nobody writes."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import trainwright
from tools import catalog
from trainwright.runs import events, signals
from trainwright.runs.folder import read_lines

SOURCES = Path(trainwright.__file__).parent
RECIPES = (
    "wgan_gp/small",
    "gaussian_vae/sound",
    "sequence_vae/uniform",
    "sequence_vae/sokoban",
    "latent_diffusion/autoencoder",
    "latent_diffusion/small",
    "video_vaegan/guide",
)
BY_STATUS = {"finished", "stopped", "interrupted", "paused", "crashed"}  # the status of an outcome is the event's name


def _calls(folder: Path, names: set[str]) -> Iterator[tuple[str, set[str], bool, str]]:
    """(event, keys, whether more keys come from a mapping, place) of each call whose first argument is a constant."""
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if called in names and isinstance(first, ast.Constant) and isinstance(first.value, str):
                keys = {k.arg for k in node.keywords if k.arg is not None}
                open_ended = any(k.arg is None for k in node.keywords)
                yield first.value, keys, open_ended, f"{file.relative_to(SOURCES)}:{node.lineno}"


def test_every_event_of_a_run_is_declared_with_its_keys():
    written = {}
    for name, keys, _, place in _calls(SOURCES, {"event", "Event"}):
        assert name in events.EVENTS, f"{place}: declare the event {name!r} in runs/events.py"
        unknown = keys - set(events.EVENTS[name].keys)
        assert not unknown, f"{place}: declare the keys {unknown} of {name!r} in runs/events.py"
        written[name] = place
    assert written, "no call was found: does Run.event have another name?"
    never = set(events.EVENTS) - set(written) - BY_STATUS
    assert not never, f"declared, but nothing writes them: {never}"


def test_every_line_of_a_journal_is_declared_with_its_keys():
    written = set()
    for name, keys, _, place in _calls(SOURCES / "studies", {"write"}):
        assert name in events.JOURNAL, f"{place}: declare {name!r} in runs/events.py"
        assert keys == set(events.JOURNAL[name].keys), place
        written.add(name)
    assert written == set(events.JOURNAL)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_signal_of_a_run_is_declared(recipe, finished):
    outcome = finished(recipe)
    packages = [catalog.family(recipe.split("/")[0]).home]
    recorded = {name for row in read_lines(outcome.run.metrics) for name in row} - set(signals.NOT_SIGNALS)
    assert len(recorded) > 20
    missing = sorted(name for name in recorded if signals.describe(name, packages) is None)
    assert not missing, "declare them in runs/signals.py or in signals.py of the family"
    lines = outcome.run.events()
    for line in lines:
        assert set(line) <= set(events.COMMON) | set(events.EVENTS[line["event"]].keys), line


def test_a_recipe_of_each_family_is_trained_above():
    assert {r.split("/")[0] for r in RECIPES} == set(catalog.families())


def test_names_of_signals_are_declared_once():
    for home in (None, *(f.home for f in catalog.families().values())):
        names = [
            s.name for s in (signals.SIGNALS if home is None else signals.declared([home])[: -len(signals.SIGNALS)])
        ]
        assert len(names) == len(set(names)), home
    assert {s.better for s in signals.SIGNALS} <= set(signals.BETTER)
    assert all(s.meaning.endswith(".") for s in signals.SIGNALS)


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        ("samples/coverage", "samples/coverage"),
        ("grad_norm/critic", "grad_norm/GROUP"),
        ("share/vae/kl", "share/GROUP/TERM"),
        ("kl_histogram/0.01_to_0.1", "kl_histogram/RANGE"),
        ("samples/a_made_up_one", None),
        ("grad_norm/critic/more", None),
    ],
)
def test_a_name_is_found_by_itself_or_by_its_pattern(name, declared):
    found = signals.describe(name)
    assert (found.name if found else None) == declared

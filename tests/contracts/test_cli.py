"""Every verb has help, every recipe is listed, and none of it needs PyTorch."""

import subprocess
import sys

import pytest

from trainwright import catalog as registry


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "trainwright", *words], capture_output=True, text=True, timeout=120)


VERBS = [
    "demo",
    "data",
    "check",
    "train",
    "resume",
    "doctor",
    "explain",
    "sample",
    "evaluate",
    "report",
    "table",
    "recipes",
    "runs",
]


@pytest.mark.parametrize("verb", VERBS)
def test_help(verb):
    result = run(verb, "--help")
    assert result.returncode == 0
    assert "Usage:" in result.stdout


def test_recipes_are_listed_with_their_hypotheses():
    result = run("recipes")
    assert result.returncode == 0
    for recipe in registry.recipes().values():
        assert recipe.title in result.stdout
        assert recipe.hypothesis in result.stdout


def test_light_verbs_do_not_import_torch():
    code = (
        "import sys; sys.argv = ['trainwright', 'recipes']\n"
        "from trainwright.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr

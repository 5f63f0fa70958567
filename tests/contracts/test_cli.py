"""Every verb has help, every recipe is listed, and none of it needs PyTorch."""

import json
import subprocess
import sys

import pytest
import typer

from trainwright import __version__, catalog
from trainwright.cli import app


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "trainwright", *words], capture_output=True, text=True, timeout=120)


def verbs(command, path: tuple[str, ...] = ()):
    """Every command of the app as a tuple of words, hidden ones too."""
    for name, inner in getattr(command, "commands", {}).items():
        yield (*path, name)
        yield from verbs(inner, (*path, name))


ROOT = typer.main.get_command(app)
VERBS = sorted(verbs(ROOT))


def test_the_app_has_its_verbs():
    assert len(VERBS) >= 20
    assert {("train",), ("doctor",), ("plan", "run"), ("data", "fit-gaussians"), ("notebook",), ("table",)} <= set(
        VERBS
    )


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_help(verb, capsys):
    with pytest.raises(SystemExit) as end:
        ROOT.main([*verb, "--help"], prog_name="trainwright")
    said = capsys.readouterr().out
    assert end.value.code == 0
    assert "Usage:" in said


def test_visible_verbs_are_in_a_group_and_former_names_are_hidden():
    said = run("--help").stdout
    for group in ("Train", "Understand", "Experiment", "Share"):
        assert f"─ {group} ─" in said
    assert "─ Commands ─" not in said
    for former in ("notebook", "table"):
        assert f"│ {former} " not in said


def test_version():
    said = run("--version")
    assert (said.returncode, said.stdout.strip()) == (0, f"trainwright {__version__}")


def test_recipes_are_listed_with_their_purpose_and_hidden_ones_on_request():
    shown, everything = run("recipes").stdout, run("recipes", "--all").stdout
    for recipe in catalog.recipes().values():
        assert (f" {recipe.name} " in shown) is not recipe.hidden
        assert f" {recipe.name} " in everything
        assert recipe.summary and recipe.summary in everything
    hidden = {r["recipe"] for r in json.loads(run("recipes", "--all", "--json").stdout) if r["hidden"]}
    assert {"gaussian_vae/sabotage_beta", "latent_diffusion/experiment_1", "wgan_gp/large_guide"} <= hidden


def test_light_verbs_do_not_import_torch():
    code = (
        "import sys; sys.argv = ['trainwright', *sys.argv[1:]]\n"
        "from trainwright.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    for words in (["recipes"], ["--help"], ["train", "--help"], ["train", "wgan_gp/tiny", "--dry-run"], ["runs"]):
        result = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result.stderr


def test_former_options_of_the_doctor_are_kept():
    doctor = ROOT.commands["doctor"]
    hidden = {word for p in doctor.params if getattr(p, "hidden", False) for word in p.opts}
    assert {"--picture", "--image", "--experiment", "--experiment-steps"} <= hidden
    shown = {word for p in doctor.params for word in p.opts} - hidden
    assert {"--chart", "--test-causes", "--test-steps", "--json", "--map"} <= shown

"""The package without PyTorch: logs and run folders are judged, and what needs the rest says so in one sentence.

``make test-light`` runs this in a venv that holds the base package only.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

import trainwright

RUNS = Path(__file__).parents[1] / "fixtures" / "runs_0_1_0"


def trainwright_(*words):
    return subprocess.run([sys.executable, "-m", "trainwright", *words], capture_output=True, text=True, check=False)


@pytest.fixture
def overfitted(tmp_path):
    rows = "".join(f"{i},{1 / (1 + i)},{0.5 + abs(i - 20) / 40}\n" for i in range(80))
    file = tmp_path / "log.csv"
    file.write_text("step,loss,val_loss\n" + rows)
    return file


def test_nothing_of_the_training_part_is_here():
    for name in ("torch", "scipy", "matplotlib", "lightning_fabric", "PIL"):
        assert importlib.util.find_spec(name) is None


def test_a_log_is_judged(overfitted):
    said = trainwright_("doctor", str(overfitted))
    assert said.returncode == 11, said.stderr
    assert "overfitting" in said.stdout and "best step: 20" in said.stdout
    assert json.loads(trainwright_("doctor", str(overfitted), "--json").stdout)["best_step"] == 20
    assert trainwright.diagnose(overfitted).verdict == "sick"


def test_a_printed_log_is_judged(tmp_path):
    file = tmp_path / "out.txt"
    file.write_text(
        "".join(f"Epoch {i}/40, Train loss: {1 / i:.4f}, lr 1e-4\n" for i in range(1, 30))
        + "Epoch 30/40, Train loss: nan\n" * 3
    )
    said = trainwright_("doctor", str(file))
    assert said.returncode == 12, said.stdout + said.stderr


@pytest.mark.parametrize("run", sorted(r.name for r in RUNS.iterdir() if (r / "run.json").exists()))
def test_a_run_folder_is_judged(run):
    said = trainwright_("doctor", str(RUNS / run), "--json")
    assert said.returncode in (0, 10, 11, 12, 13), said.stderr
    assert json.loads(said.stdout)["verdict"]


def test_recipes_are_listed_and_symptoms_explained():
    assert "wgan_gp/small" in trainwright_("recipes").stdout
    assert "posterior" in trainwright_("explain", "posterior_collapse").stdout


@pytest.mark.parametrize(
    "words", [("train", "wgan_gp/tiny", "steps=2"), ("sample", str(RUNS / "wgan_gp")), ("check", "wgan_gp/tiny")]
)
def test_what_needs_more_says_what_to_install(words, tmp_path):
    said = trainwright_(*words)
    assert said.returncode == 2
    assert "trainwright[train]" in said.stderr and "Traceback" not in said.stderr


def test_a_chart_needs_more():
    said = trainwright_("doctor", str(RUNS / "wgan_gp"), "--chart", "chart.svg")
    assert said.returncode == 2 and "trainwright[train]" in said.stderr


def test_the_watch_says_what_to_install():
    with pytest.raises(ModuleNotFoundError, match=r"trainwright\[train\]"):
        trainwright.watch  # noqa: B018

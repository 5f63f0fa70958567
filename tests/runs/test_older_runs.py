"""Run folders that version 0.1.0 wrote are read by every verb that reads runs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

OLDER = Path(__file__).parent.parent / "fixtures" / "runs_0_1_0"
FAMILIES = ("wgan_gp", "gaussian_vae", "sequence_vae", "latent_diffusion", "video_vaegan")


def trainwright(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trainwright", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture
def older(tmp_path):
    """A copy, so that nothing is written into the repository."""
    return lambda name: Path(shutil.copytree(OLDER / name, tmp_path / name))


@pytest.mark.parametrize("name", FAMILIES)
def test_doctor_report_and_sample(name, older):
    run = older(name)
    reported = trainwright("doctor", run, "--json")
    assert reported.returncode in (0, 10, 11, 13), reported.stderr
    assert json.loads(reported.stdout)["verdict"] in ("healthy", "suspect", "sick", "unknown")
    page = trainwright("report", run)
    assert page.returncode == 0, page.stderr
    assert (run / "report.html").stat().st_size > 10_000
    drawn = trainwright("sample", run, "-n", 3)
    assert drawn.returncode == 0, drawn.stderr
    assert len(list((run / "generated" / "seed_0").glob("0*.png"))) == 3


def test_compare(older, tmp_path):
    page = tmp_path / "compare.html"
    reported = trainwright("compare", older("wgan_gp"), older("wgan_gp_seed1"), "--out", page)
    assert reported.returncode == 0, reported.stderr
    assert page.exists()


def test_a_study(older):
    folder = older("study")
    reported = trainwright("notebook", folder)
    assert reported.returncode == 0, reported.stderr
    assert (folder / "notebook.html").stat().st_size > 10_000

"""train, sample, evaluate, report, runs and resume as a user types them, on one small run."""

import csv
import json
import sys

import pytest
from PIL import Image

from tests.conftest import SMOKE
from trainwright import catalog as registry
from trainwright.cli import main


@pytest.fixture(scope="module")
def run(sprites, tmp_path_factory):
    root = tmp_path_factory.mktemp("verbs")
    smoke = registry.family("wgan_gp").smoke
    code = call(["train", "wgan_gp/tiny", *smoke, *SMOKE, f"data={sprites}", "--run", str(root / "x")])
    assert code == 0
    return root / "x"


def call(words: list[str]) -> int:
    before, sys.argv = sys.argv, ["trainwright", *words]
    try:
        main()
    except SystemExit as error:
        return int(error.code or 0)
    finally:
        sys.argv = before
    return 0


def test_sample_writes_the_count_and_a_grid_and_repeats_by_seed(run, tmp_path):
    for name in ("a", "b"):
        assert call(["sample", str(run), "-n", "5", "--seed", "3", "--out", str(tmp_path / name)]) == 0
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert files == ["00000.png", "00001.png", "00002.png", "00003.png", "00004.png", "grid.png"]
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    with Image.open(tmp_path / "a" / "00000.png") as image:
        assert (image.size, image.mode) == ((32, 32), "RGB")


def test_evaluate_writes_every_metric_with_its_backend(run, capsys):
    assert call(["evaluate", str(run), "-n", "32", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    names = {row["metric"] for row in result["rows"]}
    assert {"KID x1000", "precision", "recall", "density", "coverage", "nearest_training_ratio"} <= names
    assert "EfficientNet-Lite0" in result["backend"]
    assert json.loads((run / "evaluation.json").read_text()) == result


def test_report_is_one_page_that_loads_nothing(run, capsys):
    assert call(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert page.count("<svg") >= 5
    assert "data:image/png;base64," in page
    for outside in ('src="http', 'href="http', "@import", "url(http"):
        assert outside not in page


def test_losses_csv_reads_as_the_guide_reads_it(run):
    with (run / "losses.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [row["epoch"] for row in rows] == ["1"]
    assert float(rows[0]["d_loss"]) and float(rows[0]["g_loss"])


def test_runs_lists_it(run, capsys):
    assert call(["runs", "--root", str(run.parent)]) == 0
    out = capsys.readouterr().out
    assert "finished" in out and "6/6" in out


def test_resume_takes_a_new_learning_rate(run, capsys):
    assert call(["resume", str(run), "lr_g=5e-6", "steps=8"]) == 0
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert (last["step"], last["lr/generator"]) == (8, 5e-6)


def test_train_dry_run_prints_the_config_and_trains_nothing(capsys, tmp_path):
    assert call(["train", "wgan_gp/small", "lr_g=3e-5", "--dry-run", "--root", str(tmp_path / "runs")]) == 0
    assert "lr_g: 3e-05" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_a_table_for_a_pipe_has_aligned_columns_and_one_line_a_row(capsys):
    from trainwright.cli.tables import print_table

    print_table(("run", "recipe"), [["a", "x"], ["longer name", "two\nlines"]], title="title")
    assert capsys.readouterr().out == "title\nrun          recipe\na            x\nlonger name  two lines\n"
